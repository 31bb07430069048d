// The node's own account of itself, asked again and again, and beside it what this page has verified: the newest certified
// block's certificate, under the trusted genesis.

import { Problem } from "./api.js";
import { obstacle } from "./keys.js";
import { NotProven } from "./claims.js";

const REFRESH_MS = 2_000;
const VERIFY_MS = 4_000;

export class Status {
  constructor(api, trust) {
    Object.assign(this, { api, trust });
  }

  #listeners = new Set();
  #verifiedAt = 0;
  /** The newest answer (docs/API.md, NodeStatus), or null. */
  current = null;
  /** Whether the node answered the last time. */
  reachable = true;

  /** The newest answer. */
  get() {
    return this.current;
  }

  /** Call `listener(status)` after each answer, and when the node does not answer; returns how to stop. */
  watch(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Ask once, and from then on. */
  async begin() {
    await this.refresh();
    const again = async () => {
      if (!document.hidden) await this.refresh();
      setTimeout(again, REFRESH_MS);
    };
    setTimeout(again, REFRESH_MS);
  }

  async refresh() {
    try {
      this.current = await this.api.ask("/v1/status", { open: true });
      this.reachable = true;
      if (!obstacle()) await this.#verify();
    } catch (error) {
      if (!(error instanceof Problem || error instanceof NotProven)) throw error;
      this.reachable = !(error instanceof Problem) || error.status !== 0;
    }
    for (const listener of this.#listeners) listener(this.current);
  }

  async #verify() {
    if (!this.trust.genesis) await this.trust.begin();
    this.trust.checkStatus(this.current);
    const height = this.current.certified_height;
    const soon = Date.now() < this.#verifiedAt + VERIFY_MS;
    if (soon || height < this.current.first_height || this.trust.newest?.height === height) return;
    this.#verifiedAt = Date.now();
    const { proof } = await this.api.ask(`/v1/certificates/${height}`, { open: true });
    await this.trust.checkBlock(proof);
  }
}
