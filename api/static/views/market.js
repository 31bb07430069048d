// The market: choose an interval, see its book, listings and offers, and act. What is open to everybody is asked without
// identity; what is one's own, with it.

import { fill, h } from "../lib/dom.js";
import { proven } from "../lib/proven.js";
import { documents } from "../parts/documents.js";
import { live, refill } from "../parts/live.js";
import { accountOf, personOf } from "../parts/person.js";
import { act } from "../parts/act.js";
import { cosigned } from "../parts/cosigned.js";
import { LiveView } from "../parts/view.js";
import { firstOpen, INTERVAL_MS, isAuctioned, isOpen, productOf } from "../rules/terms.js";
import { sideOf } from "../rules/settlement.js";
import { auctionCard } from "./market/auction.js";
import { bookCard, depthCard } from "./market/book.js";
import { listingsCard } from "./market/listings.js";
import { offersCard } from "./market/offers.js";
import { ordersCard } from "./market/orders.js";
import { pickerCard, toolbar } from "./market/picker.js";
import { meanPrices, pricesCard } from "./market/prices.js";
import { proposalsCard } from "./operations/proposals.js";

export const path = "/market";
export const titleKey = "market.title";

const OWN = ["listing", "order", "offer", "sealed"];
const TERMS_MS = 30_000;
const BEST_MS = 3_000;
const TRADED_MS = 15_000;
const OWNERS = ["owner", "seller", "to"];

export function render(root, context) {
  const market = new Market(root, context);
  market.begin();
  return () => market.end();
}

class Market extends LiveView {
  constructor(root, context) {
    super(root, context);
    const places = ["picker", "tools", "proposals", "listings", "book", "auction", "depth", "prices", "orders", "offers"];
    this.places = Object.fromEntries(places.map((name) => [name, h("div", { class: WIDE.has(name) ? "wide" : "" })]));
    this.state = { person: null, terms: null, interval: 0, day: "", meter: null, book: null, best: [], traded: new Map(), own: {}, run: null, policy: null, proposals: null, follows: true, connection: "", termsAt: 0, bestAt: 0, tradedAt: 0, tradedDay: "" };
  }

  async begin() {
    this.open(titleKey, "market.lead", "pair");
    try {
      await this.lookAtTerms();
      this.state.person = await personOf(this.context);
      if (this.ended) return;
      this.state.meter = this.state.person?.meters[0] ?? null;
      this.unwatch = this.context.status.watch(() => this.tick());
      this.choose(this.nextOpen);
    } catch (error) {
      this.failed(error);
    }
  }

  end() {
    super.end();
    this.unwatch?.();
  }

  ask(path) {
    return this.context.api.ask(path, { open: true });
  }

  /** Gates close by themselves: who follows the market goes on to an interval that trades, unless a panel is open. */
  tick() {
    if (this.state.book === null) return;
    if (this.state.follows && !this.isOpen && document.querySelector("dialog[open]") === null) this.choose(this.nextOpen);
    else this.show();
  }

  get nextOpen() {
    return firstOpen(this.state.terms, this.now) + 1;
  }

  /** Stay at an interval that the person wants to see, or go along with the clock. */
  stay(interval) {
    this.follow(false);
    this.choose(interval);
  }

  follow(on) {
    this.state.follows = on;
    this.tick();
  }

  /** Show an interval, and what happens in it. */
  choose(interval) {
    if (this.ended) return;
    const { format } = this.context;
    Object.assign(this.state, { interval, day: format.dayOf(interval * INTERVAL_MS), book: null, own: {}, run: null, bestAt: 0 });
    this.following?.stop();
    const topics = this.state.person ? ["book", "notices"] : ["book"];
    this.following = live(this.context, topics, (kinds) => this.look(kinds), {
      intervals: [interval],
      onEvent: ({ kind, data }) => { if (kind === "book" && data?.interval === this.state.interval) this.state.book = data; },
      onState: (connection) => { this.state.connection = connection; },
      failed: (error) => this.failed(error),
    });
  }

  useMeter(serial) {
    this.state.meter = this.state.person.meters.find((meter) => meter.meter === serial);
    this.following.now();
  }

  /** Ask for what may have changed, and show it. A book comes with its event; everything else has to be asked for. */
  async look(kinds) {
    const { state } = this;
    const { interval } = state;
    const deep = [...kinds].some((kind) => kind !== "book");
    const asked = [this.lookAtTerms(), this.lookAtBest()];
    if (deep || state.book === null) asked.push(this.ask(`/v1/book/${interval}`));
    const [, , book] = await Promise.all(asked);
    const [account, policy, proposals, run, ...own] = deep && state.person ? await this.lookPrivately(interval) : [];
    if (this.ended || interval !== state.interval) return;
    if (book !== undefined) state.book = book;
    if (account !== undefined) {
      state.person.account = account;
      Object.assign(state, { run, policy, proposals });
      OWN.forEach((type, index) => { state.own[type] = own[index]; });
    }
    fill(this.trouble);
    this.show();
  }

  /** The terms seldom change. */
  async lookAtTerms() {
    const { state } = this;
    if (state.terms !== null && Date.now() < state.termsAt + TERMS_MS) return;
    state.terms = await this.ask("/v1/terms");
    state.termsAt = Date.now();
  }

  async lookAtBest() {
    const { state } = this;
    if (Date.now() < state.bestAt + BEST_MS) return;
    state.bestAt = Date.now();
    const days = this.context.format.intervalsOfDay(state.day);
    state.best = (await this.ask(`/v1/intervals?first=${days[0]}&count=${days.length}`)).intervals;
    await this.lookAtTrades(days);
  }

  /** One's own trades of the day are many, and each comes with its proof. */
  async lookAtTrades(days) {
    const { state } = this;
    if (state.person === null || (Date.now() < state.tradedAt + TRADED_MS && state.tradedDay === state.day)) return;
    Object.assign(state, { tradedAt: Date.now(), tradedDay: state.day });
    const found = await documents(this.context, "trade", { interval: { $gte: days[0], $lte: days.at(-1) } });
    state.traded = meanPrices(found.filter((trade) => sideOf(trade, state.person.signer) !== ""));
  }

  /** Block time, as the node last told it, in ms. */
  get now() {
    return this.context.status.get()?.block_time_ms ?? Date.now();
  }

  lookPrivately(interval) {
    const { signer } = this.state.person;
    const mine = (record) => OWNERS.some((name) => record[name] === signer);
    return Promise.all([
      accountOf(this.context, signer), proven(this.context, `credit/policy/${signer}`), proposalsCard(this, { evenNone: false }), this.auction(interval),
      ...OWN.map(async (type) => (await documents(this.context, type, { interval })).filter(mine)),
    ]);
  }

  async auction(interval) {
    const { meter, terms } = this.state;
    if (meter === null || !isAuctioned(terms, meter.zone)) return null;
    const args = { product: productOf(terms, meter.zone).name, interval };
    return (await this.context.api.post("/v1/views", { contract: "auction", function: "result", args }, { open: true })).value;
  }

  show() {
    const made = {
      picker: pickerCard(this), tools: toolbar(this), proposals: this.state.proposals, listings: listingsCard(this), book: bookCard(this), depth: depthCard(this),
      auction: auctionCard(this), prices: pricesCard(this), orders: ordersCard(this), offers: offersCard(this),
    };
    for (const [name, place] of Object.entries(this.places)) {
      place.hidden = made[name] === null;
      if (!isBeingChosenIn(place, this.state.interval)) refill(place, made[name]);
    }
  }

  /** What counts against the capacity of one's meters. */
  get offered() {
    const { own } = this.state;
    return [...(own.listing ?? []), ...(own.order ?? []), ...(own.offer ?? [])];
  }

  get person() {
    return this.state.person;
  }

  get isOpen() {
    return isOpen(this.state.terms, this.state.interval, this.now);
  }

  /** Open a confirmation panel, and look again when it is done. */
  async act(made) {
    const asked = cosigned(this.context, this.state, made({ ...this.state, offered: this.offered }));
    const done = await act(this.context, asked, this.person.account);
    if (done !== null) this.following.now();
  }
}

/** A list of choices that somebody has open is left alone. */
function isBeingChosenIn(place, interval) {
  const at = document.activeElement;
  return at?.tagName === "SELECT" && place.contains(at) && (at.id !== "market-interval" || Number(at.value) === interval);
}

const WIDE = new Set(["picker", "tools", "proposals", "depth", "prices", "orders", "offers"]);
