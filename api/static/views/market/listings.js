// Listings (挂单) of an interval: to take (摘牌) in whole or part, or one's own to withdraw.

import { h, table } from "../../lib/dom.js";
import * as market from "../../acts/market.js";
import { feeBetween } from "../../rules/terms.js";

export function listingsCard(view) {
  const { context: { t, format }, state } = view;
  const { book, own, person, meter, terms, interval } = state;
  const mine = new Map((own.listing ?? []).map((each) => [each.id, each]));
  const withFees = terms.grid_fees.length > 0 && meter !== null;
  const columns = [
    { label: t("market.price"), number: true }, ...(withFees ? [{ label: t("market.youpay"), number: true }] : []),
    { label: t("market.left"), number: true }, { label: t("market.lot"), number: true },
    { label: t("market.zonename") }, { label: "" },
  ];
  const rows = book.listings.map((each) => [
    format.price(each.price),
    ...(withFees ? [format.price(BigInt(each.price) + feeBetween(terms, each.zone, meter.zone, interval))] : []),
    format.energy(each.remaining_wh), format.energy(each.lot_wh), each.zone, button(each),
  ]);

  function button(each) {
    if (mine.has(each.listing)) {
      return h("button", { type: "button", class: "quiet", dataset: { key: `end-${each.listing}` },
        on: { click: () => view.act(() => market.cancel(view.context, mine.get(each.listing))) } }, t("market.withdraw"));
    }
    if (!person?.buys || meter === null || !view.isOpen) return "";
    return h("button", { type: "button", dataset: { key: `take-${each.listing}` },
      on: { click: () => view.act((now) => market.takeListing(view.context, now, each)) } }, t("market.take"));
  }

  return h("section", { class: "card" }, h("header", {}, h("h2", {}, t("market.listings")), h("span", { class: "soft" }, t("market.perkwh"))),
    table(t("market.listings"), columns, rows, t("market.listings.none")));
}
