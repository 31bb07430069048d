// The account: what is available, what is held and for what; and the mandate to sign.

import { facts, h, table } from "../../lib/dom.js";
import { setMandate } from "../../acts/settlement.js";
import { cosigned } from "../../parts/cosigned.js";
import { heldBy } from "../../rules/costs.js";
import { big } from "../../rules/money.js";
import { SIDES, tradeHeld } from "../../rules/settlement.js";

export function balanceCard({ context: { t, format }, state: { person } }) {
  const { account, user } = person;
  return h("section", { class: "card" },
    h("header", {}, h("h2", {}, t("balance.title")), h("span", { class: "soft" }, `${user.name} · ${t(`role.${user.role}`)}`)),
    h("div", { class: "figure" }, facts([[t("balance.available"), format.money(account.available)], [t("balance.held"), format.money(account.held)]])),
    h("p", { class: "hint" }, t("balance.hint")));
}

/** What of one's money is held: offers that are open, trades that are not settled, what is disputed. */
export function holdsOf({ trades, disputes, offered }, signer) {
  const found = offered.filter((each) => (each.seller ?? each.owner) === signer).map((each) => ({
    what: each.type === "order" ? `side.${each.side}` : `kind.${each.type}`, id: each.id, interval: each.interval, status: each.status, held: heldBy(each),
  }));
  for (const trade of trades) {
    for (const side of SIDES.filter((each) => trade[each] === signer)) {
      found.push({ what: "kind.trade", id: trade.id, interval: trade.interval, status: trade.status, held: tradeHeld(trade, side) });
    }
  }
  for (const each of disputes.filter((one) => one[one.side] === signer)) {
    found.push({ what: "kind.dispute", id: each.id, interval: null, status: each.status, held: big(each.disputed) });
  }
  return found.filter((each) => each.held > 0n);
}

export function holdsCard(view) {
  const { context: { t, format }, state: { holds, person } } = view;
  const found = holdsOf(holds, person.signer);
  if (found.length === 0) return null;
  const columns = [{ label: t("market.kind") }, { label: t("fact.interval") }, { label: t("market.state") }, { label: t("balance.id") }, { label: t("market.held"), number: true }];
  const rows = found.map((each) => [
    t(each.what), each.interval === null ? "–" : format.intervalLabel(each.interval, true), t(`status.${each.status}`), h("code", {}, each.id), format.money(each.held),
  ]);
  const sum = found.reduce((total, each) => total + each.held, 0n);
  const details = h("details", { dataset: { key: "holds" } }, h("summary", {}, t("balance.held.by", { count: found.length, sum: format.money(sum) })),
    table(t("balance.holds"), columns, rows, ""));
  return h("section", { class: "card" }, h("h2", {}, t("balance.holds")), details);
}

export function mandateCard(view) {
  const { context, context: { t }, state: { person, mandate } } = view;
  if (!person.sells && !person.buys) return null;
  return h("section", { class: "card" },
    h("header", {}, h("h2", {}, t("mandate.title")), h("span", { class: `chip ${mandate ? "good" : ""}` }, t(mandate ? "mandate.given" : "mandate.none"))),
    h("p", { class: "soft" }, t("mandate.text")),
    h("div", { class: "row" }, h("button", { type: "button", dataset: { key: "mandate" }, on: { click: () => view.act(cosigned(context, view.state, setMandate(context, !mandate))) } }, t(mandate ? "mandate.end" : "mandate.give"))));
}
