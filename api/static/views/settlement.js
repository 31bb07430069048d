// What waits for one's signature: metered trades, adjustments by later readings; and disputes.

import { fill, h, table } from "../lib/dom.js";
import * as settlement from "../acts/settlement.js";
import { act } from "../parts/act.js";
import { documents } from "../parts/documents.js";
import { live, refill } from "../parts/live.js";
import { accountOf, personOf } from "../parts/person.js";
import { LiveView } from "../parts/view.js";
import { proposalsCard } from "./operations/proposals.js";
import { adjustmentBar, adjustmentGain, disputable, settlementGain, sideOf, waitsFor } from "../rules/settlement.js";

export const path = "/settlement";
export const titleKey = "settlement.title";

const RECENT_ROWS = 12;
const OPEN = { $in: ["proposed", "overdue"] };

export function render(root, context) {
  const view = new Settlement(root, context);
  view.begin();
  return () => view.end();
}

class Settlement extends LiveView {
  constructor(root, context) {
    super(root, context);
    this.person = null;
    this.places = Object.fromEntries(["proposals", "waiting", "adjustments", "disputes", "others", "arbiter", "recent"].map((name) => [name, h("div", {})]));
  }

  async begin() {
    const { t } = this.context;
    this.open(titleKey, "settlement.lead", "stack");
    try {
      this.person = await personOf(this.context);
    } catch (error) {
      this.failed(error);
      return;
    }
    if (this.ended) return;
    if (this.person === null) {
      this.turnAway(titleKey, t("account.stranger"), " ", h("a", { href: "#/register" }, t("market.register")));
      return;
    }
    this.following = live(this.context, ["trades", "notices"], () => this.look(), { failed: (error) => this.failed(error) });
  }

  async look() {
    const { signer } = this.person;
    const [trades, adjustments, disputes, settled, account, proposals] = await Promise.all([
      documents(this.context, "trade", { status: OPEN }), documents(this.context, "adjustment", { status: OPEN }),
      documents(this.context, "dispute", { status: "open" }), documents(this.context, "trade", { status: "settled" }, { rows: RECENT_ROWS, newest: true }),
      accountOf(this.context, signer), proposalsCard(this, { evenNone: false }),
    ]);
    const about = await this.tradesOf([...adjustments, ...disputes]);
    if (this.ended) return;
    this.person.account = account;
    fill(this.trouble);
    this.show("proposals", proposals);
    const mine = trades.filter((each) => sideOf(each, signer) !== "").sort((one, other) => one.interval - other.interval);
    refill(this.places.waiting, this.waitingCard(mine.filter((each) => waitsFor(each, signer))));
    this.show("adjustments", this.adjustmentsCard(adjustments.filter((each) => waitsFor(each, signer)), adjustments, about));
    this.show("disputes", this.disputesCard(disputes.filter((each) => [each.seller, each.buyer, each.arbiter].includes(signer))));
    this.show("arbiter", this.arbiterCard());
    this.show("recent", this.recentCard(settled.filter((each) => sideOf(each, signer) !== "")));
    this.show("others", this.othersCard(mine.filter((each) => !waitsFor(each, signer))));
  }

  /** By id, the trades that records are about. */
  async tradesOf(records) {
    const ids = [...new Set(records.map((each) => each.trade))];
    const found = ids.length > 0 ? await documents(this.context, "trade", { id: { $in: ids.slice(0, 90) } }) : [];
    return new Map(found.map((trade) => [trade.id, trade]));
  }

  show(name, card) {
    this.places[name].hidden = card === null;
    refill(this.places[name], card);
  }

  async act(made) {
    const done = await act(this.context, made, this.person.account);
    if (done !== null) this.following.now();
  }

  button(name, key, made, style = "") {
    return h("button", { type: "button", class: style, dataset: { key }, on: { click: () => this.act(made()) } }, this.context.t(name));
  }

  waitingCard(trades) {
    const { context, context: { t, format }, person } = this;
    const columns = [
      { label: t("fact.interval"), wide: true }, { label: t("settlement.as") }, { label: t("fact.contracted"), number: true },
      { label: t("fact.delivered"), number: true }, { label: t("fact.price"), number: true }, { label: t("settlement.gain"), number: true },
      { label: t("market.state") }, { label: "" },
    ];
    const rows = trades.map((trade) => {
      const side = sideOf(trade, person.signer);
      const short = trade.delivered_wh < trade.energy_wh;
      return [
        format.intervalLabel(trade.interval, true), t(`settlement.${side}`), format.energy(trade.energy_wh),
        h("span", { class: short ? "warn" : "" }, format.energy(trade.delivered_wh)), format.price(trade.price),
        format.money(settlementGain(trade, side), 6), t(`status.${trade.status}`),
        h("div", { class: "row" },
          this.button("settlement.sign", `sign-${trade.id}`, () => settlement.confirm(context, this, [trade]), "primary"),
          disputable(trade, side) > 0n && this.button("settlement.dispute", `dispute-${trade.id}`, () => settlement.dispute(context, this, trade), "quiet")),
      ];
    });
    const all = trades.slice(0, settlement.SIGNED_AT_ONCE_MAX);
    return h("section", { class: "card" },
      h("header", {}, h("h2", {}, t("settlement.waiting")),
        all.length > 1 && this.button("settlement.signall", "sign-all", () => settlement.confirm(context, this, all), "primary")),
      table(t("settlement.waiting"), columns, rows, t("settlement.waiting.none")));
  }

  adjustmentsCard(adjustments, known, trades) {
    if (adjustments.length === 0) return null;
    const { context, context: { t, format }, person } = this;
    const bar = (each) => adjustmentBar(each, trades.get(each.trade) ?? { status: "", seller_disputed: 0, buyer_disputed: 0 }, known.filter((other) => other.trade === each.trade));
    const columns = [
      { label: t("fact.interval"), wide: true }, { label: t("settlement.as") }, { label: t("settlement.before"), number: true },
      { label: t("settlement.after"), number: true }, { label: t("settlement.gain"), number: true }, { label: "" },
    ];
    const rows = adjustments.map((each) => {
      const side = sideOf(each, person.signer);
      return [
        format.intervalLabel(each.interval, true), t(`settlement.${side}`), format.energy(each.before_wh), format.energy(each.after_wh),
        format.money(adjustmentGain(each, side), 6),
        bar(each) === "" ? this.button("settlement.sign", `adjust-${each.id}`, () => settlement.confirmAdjustments(context, this, [each]), "primary") : t(`settlement.bar.${bar(each)}`),
      ];
    });
    const ready = adjustments.filter((each) => bar(each) === "").slice(0, settlement.SIGNED_AT_ONCE_MAX);
    return h("section", { class: "card" },
      h("header", {}, h("h2", {}, t("settlement.adjustments")),
        ready.length > 1 && this.button("settlement.signall", "adjust-all", () => settlement.confirmAdjustments(context, this, ready), "primary")),
      h("p", { class: "hint" }, t("settlement.adjustments.hint")), table(t("settlement.adjustments"), columns, rows, ""));
  }

  disputesCard(disputes) {
    if (disputes.length === 0) return null;
    const { context, context: { t, format } } = this;
    const columns = [
      { label: t("settlement.trade") }, { label: t("settlement.disputedby") }, { label: t("fact.frozen"), number: true },
      { label: t("field.reason") }, { label: t("settlement.votes") }, { label: "" },
    ];
    const rows = disputes.map((each) => [
      h("code", {}, each.trade), t(`settlement.${each.side}`), format.money(each.disputed), h("span", { class: "wrap" }, each.reason),
      h("span", { class: "wrap" }, votes(this.context, each.votes)),
      this.button("settlement.resolve", `resolve-${each.id}`, () => settlement.resolve(context, each)),
    ]);
    return h("section", { class: "card" }, h("h2", {}, t("settlement.disputes")), h("p", { class: "hint" }, t("settlement.disputes.hint")),
      table(t("settlement.disputes"), columns, rows, ""));
  }

  /** An arbiter is told of overdue settlements and adjustments by name; they are nobody's documents but their parties'. */
  arbiterCard() {
    const { context, context: { t }, person } = this;
    if (person.user.role !== "arbiter") return null;
    return h("section", { class: "card" }, h("h2", {}, t("settlement.overdue")), h("p", { class: "hint" }, t("settlement.overdue.hint")),
      h("div", {}, this.button("settlement.resolve", "decide-adjustment", () => settlement.decideOverdue(context))));
  }

  /** What has been paid last: with both signatures. */
  recentCard(trades) {
    if (trades.length === 0) return null;
    const { context: { t, format }, person } = this;
    const columns = [
      { label: t("fact.interval"), wide: true }, { label: t("settlement.as") }, { label: t("fact.contracted"), number: true }, { label: t("fact.delivered"), number: true },
      { label: t("fact.price"), number: true }, { label: t("settlement.gain"), number: true },
    ];
    const rows = trades.sort((one, other) => other.interval - one.interval).map((trade) => {
      const side = sideOf(trade, person.signer);
      return [format.intervalLabel(trade.interval, true), t(`settlement.${side}`), format.energy(trade.energy_wh), format.energy(trade.delivered_wh), format.price(trade.price), format.money(settlementGain(trade, side), 6)];
    });
    return h("section", { class: "card" }, h("h2", {}, t("settlement.recent")), table(t("settlement.recent"), columns, rows, ""));
  }

  /** One's own signature is there; the other's is not. */
  othersCard(trades) {
    if (trades.length === 0) return null;
    const { context: { t, format }, person } = this;
    const columns = [{ label: t("fact.interval"), wide: true }, { label: t("settlement.as") }, { label: t("fact.delivered"), number: true }, { label: t("settlement.gain"), number: true }, { label: t("market.state") }];
    const rows = trades.map((trade) => [
      format.intervalLabel(trade.interval, true), t(`settlement.${sideOf(trade, person.signer)}`), format.energy(trade.delivered_wh),
      format.money(settlementGain(trade, sideOf(trade, person.signer)), 6), t("settlement.waits"),
    ]);
    return h("section", { class: "card" }, h("h2", {}, t("settlement.others")), table(t("settlement.others"), columns, rows, ""));
  }
}

function votes({ t, format }, said) {
  const told = Object.entries(said).filter(([, paid]) => paid !== null).map(([voter, paid]) => `${t(`settlement.${voter}`)}: ${format.money(paid)}`);
  return told.join(", ") || t("settlement.votes.none");
}
