// One's own listings and orders of an interval: what became of them, and what may still be changed.

import { h, table } from "../../lib/dom.js";
import * as auction from "../../acts/auction.js";
import * as market from "../../acts/market.js";
import { heldBy } from "../../rules/costs.js";
import { entryEndMs, isAuctioned } from "../../rules/terms.js";
import { sealedTerms } from "../../acts/auction.js";

export function ordersCard(view) {
  const { context: { t, format }, state: { own, person } } = view;
  if (person === null) return null;
  const records = [...(own.listing ?? []), ...(own.order ?? []), ...(own.sealed ?? [])];
  records.sort((one, other) => (one.id < other.id ? 1 : -1));
  const columns = [
    { label: t("market.kind") }, { label: t("market.state") }, { label: t("market.price"), number: true },
    { label: t("market.left"), number: true }, { label: t("market.of"), number: true }, { label: t("market.held"), number: true }, { label: "" },
  ];
  const rows = records.map((each) => [
    t(each.type === "order" ? `side.${each.side}` : `kind.${each.type}`), chip(view, each.status),
    each.price === undefined ? t("market.sealed") : format.price(each.price),
    each.remaining_wh === undefined ? "" : format.energy(each.remaining_wh),
    each.energy_wh === undefined ? "" : format.energy(each.energy_wh),
    format.money(heldBy(each)), buttons(view, each),
  ]);
  return h("section", { class: "card" }, h("h2", {}, t("market.own")), table(t("market.own"), columns, rows, t("market.own.none")));
}

const GOOD = new Set(["open", "taken", "filled", "accepted", "revealed", "sealed"]);

export function chip({ context: { t } }, status) {
  return h("span", { class: `chip ${GOOD.has(status) ? "good" : ""}` }, t(`status.${status}`));
}

function buttons(view, record) {
  const { context, context: { t }, state: { terms, interval, person } } = view;
  const button = (name, made) => h("button", { type: "button", class: "quiet", dataset: { key: `${name}-${record.id}` }, on: { click: () => view.act(made) } }, t(`market.${name}`));
  if (record.status === "sealed") return reveal(view, record);
  if (record.status !== "open" || !view.isOpen) return "";
  if (record.type === "listing") return button("withdraw", () => market.cancel(context, record));
  const meter = person.meters.find((each) => each.meter === record.meter);
  const auctioned = meter !== undefined && isAuctioned(terms, meter.zone);
  if (auctioned && view.now >= entryEndMs(terms, interval)) return "";
  const contract = auctioned ? "auction" : "market";
  return h("div", { class: "row" },
    button("amend", (state) => market.amendOrder(context, state, record, contract)),
    button("withdraw", () => market.cancel(context, record, contract)));
}

function reveal(view, record) {
  const { context, context: { t }, state: { terms, interval } } = view;
  const begins = entryEndMs(terms, interval);
  if (view.now < begins || !view.isOpen) return t("market.reveal.from", { time: context.format.clock(begins) });
  return h("button", { type: "button", class: "primary", dataset: { key: `reveal-${record.id}` }, on: { async click() {
    const sealed = await sealedTerms(record);
    if (sealed === null) context.notify(t("market.reveal.lost"), "bad");
    else view.act((state) => auction.revealOrder(context, state, record, sealed));
  } } }, t("market.reveal"));
}
