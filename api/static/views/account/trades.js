// The day's trade records: what was agreed, why at that price, what became of it.

import { h, table } from "../../lib/dom.js";
import { more } from "../../parts/more.js";
import { mark } from "./day.js";

export function tradesCard(view) {
  const { context: { t, format }, state: { rows } } = view;
  const found = more(view, "trades", rows.toReversed().flatMap((row) => row.trades));
  const columns = [
    { label: t("fact.interval"), wide: true }, { label: t("settlement.as") }, { label: t("fact.contracted"), number: true }, { label: t("fact.delivered"), number: true },
    { label: t("fact.price"), number: true }, { label: t("fact.gridfee"), number: true }, { label: t("settlement.gain"), number: true },
    { label: t("market.state") }, { label: t("trades.mark") }, { label: t("trades.why"), wide: true },
  ];
  const cells = found.rows.map(({ trade, side, delivered, gain, provisional }) => [
    format.intervalLabel(trade.interval), t(`settlement.${side}`), format.energy(trade.energy_wh), delivered === null ? "–" : format.energy(delivered),
    format.price(trade.price), format.price(trade.grid_fee), gain === null ? "–" : format.money(gain, 6), t(`status.${trade.status}`),
    mark(t, provisional), h("span", { class: "wrap" }, t(`price.${trade.source}.${side}`)),
  ]);
  return h("section", { class: "card" }, h("h2", {}, t("trades.title")), table(t("trades.title"), columns, cells, t("trades.none")), found.button);
}
