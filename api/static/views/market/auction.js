// The call auction of a product and interval, as far as it has come.

import { facts, h } from "../../lib/dom.js";
import { isAuctioned, productOf } from "../../rules/terms.js";

export function auctionCard({ context: { t, format }, state: { meter, terms, run } }) {
  if (meter === null || !isAuctioned(terms, meter.zone)) return null;
  const product = productOf(terms, meter.zone);
  const title = h("header", {}, h("h2", {}, t("auction.title", { product: product.name })), h("span", { class: "soft" }, t("market.perkwh")));
  if (run === null) return h("section", { class: "card" }, title, h("p", { class: "soft" }, t("auction.empty")));
  const cleared = run.stage === "done" && run.volume_wh > 0;
  return h("section", { class: "card" }, title, facts([
    [t("auction.stage"), t(run.stage === "open" ? "auction.open" : run.stage === "done" ? "auction.done" : "auction.clearing")],
    [t("auction.orders"), format.count(run.orders)],
    [t("auction.ties"), t(`auction.ties.${run.ties}`)],
    [t("fact.gridfee"), format.price(run.grid_fee)],
    ...(cleared ? [
      [t("auction.price"), format.price(run.price)], [t("auction.bounds"), `${format.price(run.low)} – ${format.price(run.high)}`],
      [t("auction.volume"), format.energy(run.volume_wh)], [t("auction.trades"), format.count(run.trades)],
      [t("auction.welfare"), format.money(run.welfare)],
    ] : []),
  ]), run.stage === "done" && run.volume_wh === 0 && h("p", { class: "soft" }, t("auction.nothing")));
}
