// Who the person is to the network: the key in this browser, and what the chain says of it.

import { keys } from "./keys.js";

const DAY_MS = 86_400_000;
/** Days before its end at which a certificate's expiry is spoken of, ever more loudly. */
export const WARNING_DAYS = [1, 7, 30];
const METERS_MAX = 200;
const UNKNOWN = new Set(["NOT_FOUND", "NOT_REGISTERED", "NOT_YOURS"]);

export class Identity {
  /** `changed()` is called whenever the key or what is known of it has changed. */
  constructor(api, status, changed) {
    Object.assign(this, { api, status });
    this.#changed = changed;
  }

  #changed;
  #key = null;
  /** The registry's record of the key's holder (docs/MARKET.md), or null. */
  user = null;

  async begin() {
    this.#key = await keys.load().catch(() => null);
  }

  /** The key (`lib/keys.js`), or null. */
  get() {
    return this.#key;
  }

  /** Another key, or null for none. */
  async set(key) {
    this.#key = key;
    this.user = null;
    this.api.close();
    await this.refresh();
  }

  /** Keep something that the person told about itself beside the key, without asking the node. */
  async describe(profile) {
    this.#key = await keys.describe(profile);
  }

  /** Ask the node again who the holder is. */
  async refresh() {
    this.user = this.#key ? await this.#recorded() : null;
    const { role } = this.user ?? {};
    if (role && role !== this.#key.profile.role) await this.describe({ role }); // known before the node has answered, next time
    this.#changed();
    return this.user;
  }

  async #recorded() {
    try {
      return (await this.api.ask(`/v1/users/${this.#key.signer}`)).value;
    } catch (error) {
      if (UNKNOWN.has(error.code)) return null;
      throw error;
    }
  }

  /** The meters that are bound to the holder. */
  async meters() {
    const selector = { "v.type": "meter", "v.owner": this.#key.signer };
    const { rows } = await this.api.post("/v1/query", { selector, limit: METERS_MAX });
    return rows.map((row) => row.value);
  }

  /** Whole days until the certificate ends, by block time; negative once it has; null without a certificate. */
  daysLeft() {
    const now = this.status.get()?.block_time_ms;
    return this.user && now ? Math.floor((this.user.not_after_ms - now) / DAY_MS) : null;
  }

  /** The warning that is due: "expired", 1, 7 or 30 (days), or null. */
  warning() {
    const days = this.daysLeft();
    if (days === null) return null;
    return days < 0 ? "expired" : WARNING_DAYS.find((each) => days < each) ?? null;
  }
}
