// Certificates of origin: one's own, to pass on or to claim; and exported energy that has none yet.

import { h, table } from "../../lib/dom.js";
import * as origin from "../../acts/origin.js";
import { isUsable } from "../../rules/history.js";
import { chip } from "../market/orders.js";

const MINTED_AT_ONCE_MAX = 100;
const SHOWN_MAX = 50;

export function certificatesCard(view) {
  const { context, context: { t, format }, state: { certificates, person } } = view;
  if (!person.sells && certificates.length === 0) return null;
  const newest = [...certificates].sort((one, other) => other.interval - one.interval).slice(0, SHOWN_MAX);
  const columns = [{ label: t("fact.certificate") }, { label: t("fact.interval") }, { label: t("fact.energy"), number: true }, { label: t("market.state") }, { label: t("field.purpose") }, { label: "" }];
  const button = (name, made, key) => h("button", { type: "button", class: "quiet", dataset: { key }, on: { click: () => view.act(made()) } }, t(`origin.${name}`));
  const rows = newest.map((each) => [
    h("code", {}, each.id), format.intervalLabel(each.interval, true), format.energy(each.energy_wh), chip(view, each.status), h("span", { class: "wrap" }, each.purpose),
    each.status === "active" && h("div", { class: "row" },
      button("transfer", () => origin.transfer(context, each), `pass-${each.id}`), button("claim", () => origin.claim(context, each), `claim-${each.id}`)),
  ]);
  const open = uncertified(view);
  const mints = [...open].map(([meter, intervals]) => h("button", {
    type: "button", dataset: { key: `mint-${meter}` }, on: { click: () => view.act(origin.mint(context, meter, intervals)) },
  }, t("origin.mint", { meter, count: intervals.length })));
  return h("section", { class: "card" }, h("header", {}, h("h2", {}, t("origin.title")), h("div", { class: "row" }, mints)),
    h("p", { class: "hint" }, t("origin.hint")), table(t("origin.title"), columns, rows, t("origin.none")));
}

/** By meter, the shown day's intervals with exported energy of which no certificate is held: where one was passed on
    whole, minting again makes none. */
function uncertified({ state: { readings, certificates } }) {
  const held = new Set(certificates.map((each) => `${each.meter}/${each.interval}`));
  const found = new Map();
  for (const reading of readings) {
    if (!isUsable(reading) || reading.export_wh === 0 || held.has(`${reading.meter}/${reading.interval}`)) continue;
    const intervals = found.get(reading.meter) ?? [];
    if (intervals.length < MINTED_AT_ONCE_MAX) found.set(reading.meter, [...intervals, reading.interval]);
  }
  return found;
}
