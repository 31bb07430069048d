// Users and operations: what operators see and decide. A regulator sees the same, and may suspend.

import { fill, h } from "../lib/dom.js";
import { proven } from "../lib/proven.js";
import { act } from "../parts/act.js";
import { below, documents } from "../parts/documents.js";
import { live, refill } from "../parts/live.js";
import { personOf } from "../parts/person.js";
import { LiveView } from "../parts/view.js";
import { admissionsCard, waitingOf } from "./operations/admissions.js";
import { foundationCards } from "./operations/foundations.js";
import { metersCard } from "./operations/meters.js";
import { networkCards } from "./operations/network.js";
import { proposalsCard } from "./operations/proposals.js";
import { usersCard } from "./operations/users.js";

export const path = "/operations";
export const titleKey = "operations.title";
export const isShown = ({ identity }) => ["operator", "regulator"].includes(identity.user?.role);

const NETWORK = ["validators", "parameters", "fees", "admission", "organisations", "contracts", "roots", "revocations"];

export function render(root, context) {
  const view = new Operations(root, context);
  view.begin();
  return () => view.end();
}

class Operations extends LiveView {
  constructor(root, context) {
    super(root, context);
    this.search = "";
    this.state = { person: null, users: [], meters: [], terms: null, status: null, revocations: [], waiting: null, arbiter: null };
    this.places = Object.fromEntries(["admissions", "proposals", "users", "meters", ...NETWORK].map((name) => [name, h("div", {})]));
  }

  async begin() {
    this.open(titleKey, "operations.lead", "stack");
    try {
      this.state.person = await personOf(this.context);
    } catch (error) {
      this.failed(error);
      return;
    }
    if (this.ended) return;
    if (!this.state.person?.operates) {
      this.turnAway(titleKey, this.context.t("operations.forbidden"));
      return;
    }
    this.following = live(this.context, ["notices"], () => this.look(), { failed: (error) => this.failed(error) });
  }

  get person() {
    return this.state.person;
  }

  get mayGovern() {
    return this.state.person.user.role === "operator";
  }

  async look() {
    const { api } = this.context;
    const view = (contract, name) => api.post("/v1/views", { contract, function: name, args: {} }).then(({ value }) => value);
    const [users, meters, revocations, terms, arbiter, epoch, waiting, contracts, upgrades, roots, admission] = await Promise.all([
      documents(this.context, "user"), documents(this.context, "meter"), documents(this.context, "revocation"), api.ask("/v1/terms", { open: true }),
      view("registry", "get_arbiter"), view("governance", "get_epoch"), waitingOf(this.context),
      below(this.context, "governance/contract/", ["version", "sha256"]), documents(this.context, "upgrade"), below(this.context, "governance/root/"),
      proven(this.context, "registry/admission"),
    ]);
    if (this.ended) return;
    Object.assign(this.state, { users, meters, revocations, terms, status: this.context.status.get(), arbiter, epoch, waiting, contracts, upgrades, roots, admission });
    fill(this.trouble);
    await this.show();
  }

  async show() {
    const made = {
      admissions: admissionsCard(this), proposals: await proposalsCard(this), users: usersCard(this), meters: metersCard(this), ...networkCards(this), ...foundationCards(this),
    };
    for (const [name, card] of Object.entries(made)) {
      this.places[name].hidden = card === null;
      refill(this.places[name], card);
    }
  }

  nameOf(signer) {
    const user = this.state.users.find((each) => each.signer === signer);
    return user === undefined ? this.context.format.short(signer) : user.name;
  }

  /** A button that opens a panel; nothing for those who may not. */
  button(name, key, made, { style = "quiet", may = this.mayGovern } = {}) {
    if (!may) return null;
    return h("button", { type: "button", class: style, dataset: { key }, on: { click: () => this.act(made()) } }, this.context.t(name));
  }

  async act(made) {
    const done = await act(this.context, made);
    if (done === null) return;
    this.following.now();
    if (done.verified === null) this.places.proposals.scrollIntoView({ block: "center" });
  }
}
