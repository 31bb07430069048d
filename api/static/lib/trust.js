// What this page trusts: one genesis file, kept in this browser on first use, or loaded from a file. Everything that a
// node says is measured by it. A node that does not fit is a warning, loudly: it lies, or belongs to another network.

import { fromBase64 } from "./bytes.js";
import { NotProven, readGenesis, verifyBlock } from "./verify.js";
import { store } from "./store.js";

const KEPT = "genesis";
const HASHES_KEPT_MAX = 4_096;

export class Trust {
  /** `api`: to ask for the genesis file on first use. `changed()` is called when `warnings` or the genesis have changed. */
  constructor(api, changed) {
    this.#api = api;
    this.#changed = changed;
  }

  #api;
  #changed;
  #genesis = null;
  #hashes = new Map();
  /** "first use", or "file". */
  source = "";
  since = 0;
  /** The newest block that this page has verified, or null. */
  newest = null;
  /** What was found amiss, {code, params}, once a kind. */
  warnings = new Map();

  /** The trusted genesis; null before the first node has answered. */
  get genesis() {
    return this.#genesis;
  }

  /** Read what is kept; on first use take the node's word, and keep it from then on. */
  async begin() {
    const kept = await store.get(KEPT).catch(() => undefined);
    if (kept) return this.#take(await readGenesis(kept.raw), kept.source, kept.since);
    const { genesis } = await this.#api.ask("/v1/genesis", { open: true });
    return this.#keep(await readGenesis(fromBase64(genesis)), "first use");
  }

  /** Trust the genesis file that the person chose instead; raises `NotProven` if it is none. */
  async load(raw) {
    return this.#keep(await readGenesis(raw), "file");
  }

  /** Trust nothing; the next `begin` takes the node's word again. */
  async forget() {
    await store.remove(KEPT);
    this.#take(null, "", 0);
  }

  async #keep(genesis, source) {
    const since = Date.now();
    await store.put(KEPT, { raw: genesis.raw, source, since }).catch(() => undefined); // in private windows, for this visit
    return this.#take(genesis, source, since);
  }

  #take(genesis, source, since) {
    Object.assign(this, { source, since, newest: null });
    this.#genesis = genesis;
    this.#hashes.clear();
    this.warnings.clear();
    this.#changed();
    return genesis;
  }

  /** What a node says of itself: its chain must be the trusted one. */
  checkStatus(status) {
    if (this.#genesis && status.chain !== this.#genesis.id) {
      this.report("OTHER_NETWORK", { node: status.name, chain: status.chain, trusted: this.#genesis.id });
    }
  }

  /** Verify a block's proof, and that no other block at its height was ever verified; raises `NotProven`. */
  async checkBlock(proof) {
    return this.judge("block", async () => {
      const block = await verifyBlock(proof, this.#genesis);
      const known = this.#hashes.get(block.height);
      if (known && known !== block.hash) throw new NotProven("fork", `block ${block.height} was another one before`);
      this.#remember(block);
      return block;
    });
  }

  /** Run a check of what a node claims; a claim that proves nothing is reported, and raised. */
  async judge(what, check) {
    try {
      return await check();
    } catch (error) {
      if (error instanceof NotProven) this.report("FORGED", { what, fault: error.fault, detail: error.detail });
      throw error;
    }
  }

  /** A header of a list must be the one that was verified at its height. */
  checkHeader(header) {
    const known = this.#hashes.get(header.height);
    if (known && known !== header.hash) {
      this.report("FORGED", { what: "block", fault: "header", detail: `block ${header.height} is not the verified one` });
      return false;
    }
    return known === header.hash;
  }

  /** The verified hash of the block at `height`, or undefined. */
  hashAt(height) {
    return this.#hashes.get(height);
  }

  report(code, params) {
    const name = `${code}/${params.what ?? ""}`;
    if (this.warnings.has(name)) return;
    this.warnings.set(name, { code, params });
    this.#changed();
  }

  #remember(block) {
    if (this.#hashes.size >= HASHES_KEPT_MAX) this.#hashes.delete(this.#hashes.keys().next().value);
    this.#hashes.set(block.height, block.hash);
    if (!this.newest || block.height >= this.newest.height) this.newest = { ...block, at: Date.now() };
  }
}
