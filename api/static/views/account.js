// My energy and money: a day of one's quarter-hours and why they came out so, the account and what it holds, statements,
// certificates of origin.

import { fill, h } from "../lib/dom.js";
import { proven } from "../lib/proven.js";
import { act } from "../parts/act.js";
import { documents } from "../parts/documents.js";
import { live, refill } from "../parts/live.js";
import { accountOf, personOf } from "../parts/person.js";
import { LiveView } from "../parts/view.js";
import { intervalRows } from "../rules/history.js";
import { INTERVAL_MS } from "../rules/terms.js";
import { certificatesCard } from "./account/certificates.js";
import { balanceCard, holdsCard, mandateCard } from "./account/balance.js";
import { dayCard, energyCard, moneyCard, rowsCard } from "./account/day.js";
import { powerCard } from "./account/power.js";
import { signersCard } from "./account/signers.js";
import { statementCard } from "./account/statement.js";
import { tradesCard } from "./account/trades.js";
import { proposalsCard } from "./operations/proposals.js";

export const path = "/account";
export const titleKey = "account.title";

const HOLDING = ["listing", "order", "offer", "sealed"];

export function render(root, context) {
  const view = new Account(root, context);
  view.begin();
  return () => view.end();
}

class Account extends LiveView {
  constructor(root, context) {
    super(root, context);
    this.powers = new Map();
    this.state = { person: null, day: "", rows: [], holds: [], certificates: [], mandate: false, policy: null, status: null };
    const wide = new Set(["proposals", "signers", "day", "energy", "money", "rows", "trades", "certificates", "holds"]);
    const names = ["balance", "power", "mandate", "day", "energy", "money", "rows", "trades", "holds", "certificates", "proposals", "signers", "statement"];
    this.places = Object.fromEntries(names.map((name) => [name, h("div", { class: wide.has(name) ? "wide" : "" })]));
    this.places.statement.classList.add("wide");
  }

  async begin() {
    const { t, format } = this.context;
    this.open(titleKey, "account.lead", "grid");
    try {
      const person = await personOf(this.context);
      const status = this.context.status.get();
      if (this.ended) return;
      if (person === null) {
        this.turnAway(titleKey, t("account.stranger"), " ", h("a", { href: "#/register" }, t("market.register")));
        return;
      }
      Object.assign(this.state, { person, status, day: format.dayOf(status.block_time_ms) });
      refill(this.places.statement, statementCard(this));
      this.following = live(this.context, ["trades", "notices", ...(person.meters.length > 0 ? ["power"] : [])], (kinds) => this.look(kinds), {
        onEvent: (event) => this.heard(event), failed: (error) => this.failed(error),
      });
    } catch (error) {
      this.failed(error);
    }
  }

  heard(event) {
    if (event.kind !== "power" || !event.data) return;
    this.powers.set(event.data.meter, event.data);
    refill(this.places.power, powerCard(this));
    this.places.power.hidden = false;
  }

  get person() {
    return this.state.person;
  }

  chooseDay(day) {
    Object.assign(this.state, { day, chosen: true });
    this.following.now();
  }

  /** The day of one's newest trade, where today has nothing: until somebody chooses another. */
  async lastDay() {
    const [newest] = await documents(this.context, "trade", {}, { rows: 1, newest: true });
    return newest === undefined ? this.state.day : this.context.format.dayOf(newest.interval * INTERVAL_MS);
  }

  async look(kinds) {
    if (kinds.size === 1 && kinds.has("power")) return undefined;
    const { context: { format }, state } = this;
    const { signer } = state.person;
    const { day } = state;
    const days = format.intervalsOfDay(day);
    const [first, last] = [days[0], days.at(-1)];
    const within = { interval: { $gte: first, $lte: last } };
    const [account, trades, adjustments, readings, certificates, mandates, policy, open, disputes, ...offered] = await Promise.all([
      accountOf(this.context, signer),
      documents(this.context, "trade", within), documents(this.context, "adjustment", within), documents(this.context, "reading", within),
      documents(this.context, "certificate", { owner: signer }), documents(this.context, "mandate", { signer }), proven(this.context, `credit/policy/${signer}`),
      documents(this.context, "trade", { status: { $in: ["matched", "proposed", "overdue"] } }), documents(this.context, "dispute"),
      ...HOLDING.map((type) => documents(this.context, type, { status: { $in: ["open", "sealed"] } })),
    ]);
    if (this.ended || day !== state.day) return undefined;
    state.person.account = account;
    const status = this.context.status.get();
    const mine = { signer, trades, adjustments, disputes, readings: readings.filter((each) => each.owner === signer), first, last, nowMs: status.block_time_ms };
    Object.assign(state, {
      status, certificates, mandate: mandates.length > 0, policy, rows: intervalRows(mine), intervals: days, readings: mine.readings,
      holds: { trades: open, disputes: disputes.filter((each) => each.status === "open"), offered: offered.flat() },
    });
    const shownDay = state.rows.length === 0 && !state.chosen ? await this.lastDay() : day;
    if (shownDay !== day) return this.chooseDay(shownDay);
    fill(this.trouble);
    return this.show();
  }

  async show() {
    const made = {
      proposals: await proposalsCard(this, { evenNone: false }),
      balance: balanceCard(this), mandate: mandateCard(this), signers: signersCard(this), day: dayCard(this), energy: energyCard(this), money: moneyCard(this),
      rows: rowsCard(this), trades: tradesCard(this), holds: holdsCard(this), certificates: certificatesCard(this),
      power: powerCard(this),
    };
    for (const [name, card] of Object.entries(made)) {
      this.places[name].hidden = card === null;
      refill(this.places[name], card);
    }
  }

  async act(made) {
    const done = await act(this.context, made, this.person.account);
    if (done === null) return;
    this.following.now();
    if (done.verified === null) this.places.proposals.scrollIntoView({ block: "center" });
  }
}
