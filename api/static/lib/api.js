// The node over REST. A refusal is a `Problem` with a stable code and a sentence; a key opens a session when one is needed.

import { fromBase64, toBase64, toHex, utf8 } from "./bytes.js";

const TIMEOUT_MS = 30_000;
const SESSION_SLACK_MS = 60_000;

/** What the node refused, or that it did not answer (code NODE_UNREACHABLE, status 0). */
export class Problem extends Error {
  constructor(code, detail, status, body = {}) {
    super(detail);
    Object.assign(this, { code, detail, status, body });
  }
}

/** `base`: the node's address, "" for the one that served this page. `identity()`: {key, chain} to open sessions with,
 * or null for a stranger. */
export class Api {
  constructor(base, identity) {
    this.base = base;
    this.#identity = identity;
  }

  #identity;
  #session = null;
  #opening = null;

  /** GET. `open`: ask as a stranger, though there is a key. */
  ask(path, options = {}) {
    return this.#call(path, { ...options, method: "GET" });
  }

  /** POST of `body` as JSON. */
  post(path, body, options = {}) {
    const headers = { "Content-Type": "application/json", ...options.headers };
    return this.#call(path, { ...options, headers, method: "POST", body: JSON.stringify(body) });
  }

  /** A session's token; "" without a key. */
  async token() {
    const identity = await this.#identity();
    if (!identity) return "";
    const held = this.#session;
    if (held?.signer === identity.key.signer && held.expires_ms - SESSION_SLACK_MS > Date.now()) return held.token;
    this.#opening ??= this.#open(identity).finally(() => { this.#opening = null; });
    return (this.#session = await this.#opening).token;
  }

  /** Forget the session, as when the key changes. */
  close() {
    this.#session = null;
  }

  async #call(path, options) {
    const token = options.open ? "" : await this.token();
    try {
      return await this.#fetch(path, options, token);
    } catch (error) {
      if (!token || error.code !== "SESSION_UNKNOWN") throw error;
      this.#session = null; // it is over, or the node restarted
      return this.#fetch(path, options, await this.token());
    }
  }

  async #open({ key, chain }) {
    const asked = { public_key: key.publicKeyText };
    const { challenge } = await this.#fetch("/v1/challenges", posted(asked), "");
    const node = addressOf(this.base || location.href);
    const signature = await key.sign(sessionText(chain, node, fromBase64(challenge)));
    return this.#fetch("/v1/sessions", posted({ ...asked, challenge, signature: toBase64(signature), node }), "");
  }

  async #fetch(path, { method, body, headers, signal, timeoutMs = TIMEOUT_MS }, token) {
    const given = { Accept: "application/json", ...headers, ...(token && { Authorization: `Bearer ${token}` }) };
    const limit = AbortSignal.timeout(timeoutMs);
    let response;
    try {
      const signals = signal ? AbortSignal.any([signal, limit]) : limit;
      response = await fetch(this.base + path, { method, body, headers: given, signal: signals, cache: "no-store" });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new Problem("NODE_UNREACHABLE", "The node does not answer.", 0);
    }
    const tree = await response.json().catch(() => ({}));
    if (response.ok) return tree;
    throw new Problem(tree.code ?? `HTTP_${response.status}`, tree.detail ?? response.statusText, response.status, tree);
  }
}

const posted = (body) => ({
  method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" },
});

/** What is signed to prove possession of a key for reading, to one node alone. `chain`: hex; `challenge`: bytes. */
export function sessionText(chain, node, challenge) {
  return utf8(`wattquorum/1 session\n${chain}\n${node}\n${toHex(challenge)}`);
}

/** HOST:PORT of a URL, as `sdk.node_address` has it. */
export function addressOf(url) {
  const { hostname, port, protocol } = new URL(url);
  return `${hostname}:${port || (protocol === "https:" ? 443 : 80)}`;
}
