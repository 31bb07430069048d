// The order book of an interval as it stands: price levels of both sides, and its depth.

import { h, table } from "../../lib/dom.js";
import { depthChart } from "../../lib/charts.js";
import { drawn } from "../../parts/memo.js";

const LEVELS_SHOWN = 8;

export function bookCard(view) {
  const { context: { t, format }, state: { book, connection, terms } } = view;
  const columns = [{ label: t("book.side") }, { label: t("market.price"), number: true }, { label: t("field.energy"), number: true }];
  const rows = [
    ...book.asks.slice(0, LEVELS_SHOWN).reverse().map((level) => row("ask", level)),
    ...book.bids.slice(0, LEVELS_SHOWN).map((level) => row("bid", level)),
  ];

  function row(side, level) {
    return [h("span", { class: `side ${side}` }, t(`side.${side}`)), format.price(level.price), format.energy(level.energy_wh)];
  }

  return h("section", { class: "card" },
    h("header", {}, h("h2", {}, t("book.title")), connection && h("span", { class: `chip dot ${connection === "live" ? "good" : ""}` }, t(`shell.${connection === "broken" ? "connecting" : connection}`))),
    table(t("book.title"), columns, rows, t("book.none")),
    terms.grid_fees.length > 0 && h("p", { class: "hint" }, t("book.fees")));
}

export function depthCard(view) {
  const { context: { t, format }, state: { book } } = view;
  if (book.asks.length + book.bids.length === 0) return null;
  view.depth ??= {};
  return drawn(view.depth, [book.bids, book.asks, t("book.depth")], () => h("section", { class: "card" }, h("h2", {}, t("book.depth")), depthChart({
    title: t("book.depth"), desc: t("book.depth.desc"), bids: book.bids, asks: book.asks, names: [t("book.bids"), t("book.asks")],
    x: { label: t("market.perkwh"), format: format.price }, y: { label: "Wh", format: format.count }, height: 260,
  })));
}
