// Sign, send, and be done only when the receipt has verified: q validators signed what the transaction led to.
// A node can delay a person, never deceive one.

import { fromBase64, sha256, toBase64, toHex, utf8 } from "./bytes.js";
import { Problem } from "./api.js";
import { NotProven } from "./claims.js";
import { gasLimitOf } from "./gas.js";
import { expiryHeight, isNonceUnused } from "./proven.js";
import { verify } from "./signatures.js";
import { verifyReceipt } from "./verify.js";

const EXPIRY_BLOCKS = 5_000;
const ROUND_MS = 10_000;
const BACKOFF_MS = 300;
const BACKOFF_MS_MAX = 3_000;
const PATIENCE_MS = 60_000;
/** Refusals that the same node may not repeat; the same bytes are sent again, so nothing happens twice. */
const RETRIED = new Set([0, 429, 500, 503, 504]);

/** It executed, and failed: proven by its receipt. `code` and `detail` are the contract's own. */
export class Failed extends Problem {
  constructor(verified) {
    super(verified.code, verified.message, 422, {});
    this.verified = verified;
  }
}

/** The chain refused it at one place, proven by a receipt: it may have executed at another place all the same. */
class RefusedThere extends Problem {
  constructor(verified) {
    super(verified.code, verified.message, 422, {});
    this.height = verified.height;
  }
}

export class Signer {
  /** `api`, `trust`: as the page's; `key()`: the person's key, or null; `reserved(signer)`: the highest nonce of what waits for
   * others' signatures. */
  constructor(api, trust, key, reserved = async () => -1) {
    Object.assign(this, { api, trust, reserved });
    this.#key = key;
  }

  #key;
  #nonce = -1;
  /** The nonce of what a node refused without proof, or null: whatever is signed next has it too, so that of the two only one
   * can ever execute, though the node may have lied. */
  #refused = null;

  /** Sign and send `contract.name(args)`; resolves with {outcome, verified}. Raises `Failed` with a verified receipt, `Problem`
   * for a refusal without proof (OUTCOME_UNKNOWN for one at a place of the chain where it may have come too late), `NotProven` if
   * the node lies.
   * `wait`: "certificate", or how far to wait instead (then `verified` is null). `progress(stage)`: signing, sent, verifying. */
  invoke = async (contract, name, args = {}, options = {}) => {
    options.progress?.("signing");
    const envelope = await this.propose(contract, name, args, [], options);
    return this.submit(envelope, options);
  };

  /** An envelope of several signers, signed by this key as the first; the others `cosign` it in any order. */
  propose = async (contract, name, args, others = [], { gasLimit, expiresAfterBlocks = EXPIRY_BLOCKS, nonce } = {}) => {
    const key = this.#needed();
    const { genesis } = this.trust;
    const payload = {
      v: 1, chain: genesis.id, channel: genesis.channel, signers: [key.signer, ...others], contract, function: name, args,
      nonce: nonce ?? await this.#nextNonce(key.signer),
      expires_at_height: await expiryHeight(this, expiresAfterBlocks),
      gas_limit: gasLimit ?? gasLimitOf(contract, name),
    };
    return this.cosign({ payload: JSON.stringify(payload), signatures: payload.signers.map(() => null) });
  };

  /** The same envelope with this key's signature in its place. `signatures`: one a signer, null where it is missing.
   * Raises `Problem`: ENVELOPE_MALFORMED, OTHER_NETWORK, NOT_A_SIGNER, SIGNATURE_INVALID (somebody's that is there). */
  cosign = async (envelope) => {
    const key = this.#needed();
    const { payload } = await this.inspect(envelope);
    const place = payload.signers.indexOf(key.signer);
    if (place < 0) throw new Problem("NOT_A_SIGNER", "Your key is none of those that this names.", 0);
    const signature = toBase64(await key.sign(utf8(envelope.payload)));
    const signatures = [...envelope.signatures];
    signatures[place] = { public_key: key.publicKeyText, signature };
    return { payload: envelope.payload, signatures };
  };

  /** What an envelope from elsewhere says, its signatures checked: {payload, missing: [signer, …]}. */
  inspect = async (envelope) => {
    const payload = parsed(envelope);
    const { genesis } = this.trust;
    if (payload.chain !== genesis.id || payload.channel !== genesis.channel) {
      throw new Problem("OTHER_NETWORK", "This is for another network.", 0);
    }
    await Promise.all(envelope.signatures.map(async (given, place) => {
      if (given !== null && !(await fits(given, payload.signers[place], envelope.payload))) {
        throw new Problem("SIGNATURE_INVALID", "A signature on it is wrong.", 0);
      }
    }));
    return { payload, missing: payload.signers.filter((_, place) => envelope.signatures[place] === null) };
  };

  /** Send a whole envelope, the same bytes again and again, until its receipt verifies. */
  submit = async (envelope, { wait = "certificate", patienceMs = PATIENCE_MS, progress } = {}) => {
    const deadline = Date.now() + patienceMs;
    let backoff = BACKOFF_MS;
    for (;;) {
      progress?.("sent");
      try {
        const told = await this.#send(envelope, wait, Math.min(ROUND_MS, Math.max(1_000, deadline - Date.now())));
        if (wait !== "certificate") return { outcome: told, verified: null };
        progress?.("verifying");
        return { outcome: told, verified: await this.#verified(told.receipt, envelope) };
      } catch (error) {
        await this.#consider(error, envelope, deadline);
      }
      await new Promise((resolve) => setTimeout(resolve, backoff));
      backoff = Math.min(backoff * 2, BACKOFF_MS_MAX);
    }
  };

  /** How far it came, as the node says; a refusal with a receipt is a claim as well. */
  async #send(envelope, wait, timeoutMs) {
    const body = { ...envelope, wait, timeout_ms: timeoutMs };
    try {
      return await this.api.post("/v1/transactions", body, { open: true, timeoutMs: timeoutMs + 5_000 });
    } catch (error) {
      if (wait === "certificate" && error.body?.receipt) return error.body;
      throw error;
    }
  }

  /** Raise what ends the matter; return if the same bytes are to be sent again. */
  async #consider(error, envelope, deadline) {
    if (!(error instanceof Problem) || error instanceof Failed) throw error;
    const elsewhere = error instanceof RefusedThere && !(await this.#isWithoutEffect(error, envelope));
    if ((elsewhere || RETRIED.has(error.status)) && Date.now() <= deadline) return;
    const last = elsewhere ? new Problem("OUTCOME_UNKNOWN", "Whether it was executed is not known.", 0) : error;
    this.#keepNonce(last, parsed(envelope));
    throw last;
  }

  /** Whether what was refused at a place has executed nowhere up to there: its nonce is proven not to be used. */
  async #isWithoutEffect({ height }, envelope) {
    const { signers, nonce } = parsed(envelope);
    try {
      return await isNonceUnused(this, signers[0], nonce, height);
    } catch (error) {
      if (error instanceof Problem) return false; // the node has no proof for us, or not yet
      throw error;
    }
  }

  #keepNonce(error, { signers, nonce }) {
    const spent = error.code.startsWith("NONCE_") || error.code === "OUTCOME_UNKNOWN";
    if (spent) this.#nonce = -1;
    this.#refused = spent || signers[0] !== this.#key()?.signer ? null : nonce;
  }

  async #verified(receipt, envelope) {
    const verified = await this.trust.judge("receipt", async () => {
      const found = await verifyReceipt(receipt ?? null, this.trust.genesis);
      if (found.payload !== envelope.payload) throw new NotProven("envelope", "the receipt is another transaction's");
      return found;
    });
    if (verified.code === "OK") return verified;
    throw verified.executed ? new Failed(verified) : new RefusedThere(verified);
  }

  async #nextNonce(signer) {
    if (this.#refused !== null) {
      const nonce = this.#refused;
      this.#refused = null;
      return nonce;
    }
    const { highest } = await this.api.ask(`/v1/nonces/${signer}`, { open: true });
    this.#nonce = Math.max(this.#nonce, highest, await this.reserved(signer)) + 1;
    return this.#nonce;
  }

  #needed() {
    const key = this.#key();
    if (!key) throw new Problem("KEY_NEEDED", "Make or restore a key first.", 0);
    return key;
  }
}

function parsed(envelope) {
  try {
    const payload = JSON.parse(envelope.payload);
    const shaped = Array.isArray(payload.signers) && Array.isArray(envelope.signatures);
    if (shaped && payload.signers.length === envelope.signatures.length) return payload;
  } catch { /* told below */ }
  throw new Problem("ENVELOPE_MALFORMED", "This is no transaction that was begun here.", 0);
}

async function fits({ public_key: publicKey, signature }, signer, payload) {
  try {
    const point = fromBase64(publicKey);
    return toHex(await sha256(point)) === signer && await verify(point, fromBase64(signature), utf8(payload));
  } catch {
    return false;
  }
}
