// Offers to one party (协商): what one has proposed, what has been proposed to one, and the answers in their order.

import { h, table } from "../../lib/dom.js";
import * as offers from "../../acts/offers.js";
import { chip } from "./orders.js";

export function offersCard(view) {
  const { context: { t, format }, state: { own, person } } = view;
  if (person === null || (!person.sells && !person.buys)) return null;
  const records = [...(own.offer ?? [])].sort((one, other) => (one.id < other.id ? 1 : -1));
  const columns = [
    { label: t("offer.direction") }, { label: t("offer.party") }, { label: t("field.side") }, { label: t("market.price"), number: true },
    { label: t("field.energy"), number: true }, { label: t("market.state") }, { label: "" },
  ];
  const rows = records.map((each) => {
    const mine = each.owner === person.signer;
    return [
      h("span", {}, t(mine ? "offer.mine" : "offer.theirs"), each.answers ? ` · ${t("offer.answers")}` : ""),
      h("code", { title: mine ? each.to : each.owner }, format.short(mine ? each.to : each.owner)),
      t(`offer.said.${each.side}`), format.price(each.price), format.energy(each.energy_wh), chip(view, each.status), buttons(view, each, mine),
    ];
  });
  return h("section", { class: "card" },
    h("header", {}, h("h2", {}, t("offer.title")), h("span", { class: "soft" }, t("offer.own"), " ", h("code", { class: "mono" }, person.signer))),
    table(t("offer.title"), columns, rows, t("offer.none")));
}

function buttons(view, offer, mine) {
  const { context, context: { t }, state: { person, meter } } = view;
  if (offer.status !== "open" || !view.isOpen) return "";
  const button = (name, made, style = "quiet") => h("button", { type: "button", class: style, dataset: { key: `${name}-${offer.id}` }, on: { click: () => view.act(made) } }, t(`offer.${name}`));
  if (mine) return button("withdraw", () => offers.close(context, offer, "withdraw"));
  const may = meter !== null && (offer.side === "ask" ? person.buys : person.sells);
  return h("div", { class: "row" },
    may && button("accept", (state) => offers.accept(context, state, offer), "primary"),
    may && button("counter", (state) => offers.counter(context, state, offer)),
    button("decline", () => offers.close(context, offer, "decline")));
}
