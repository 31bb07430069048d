// Proposals: transactions that several sign. Each is kept in this browser until it is done, and waits at the node where the
// other signers find it; to those who use another node it goes as a file or text, and comes back with their signatures.

import { Problem } from "../lib/api.js";
import { sha256, toHex, utf8 } from "../lib/bytes.js";
import { store } from "../lib/store.js";

const KEPT = "proposals";
const KEPT_MAX = 50;
const FORMAT = "wattquorum/1 proposal";
/** A day of quick blocks: people need longer than programs. */
const EXPIRY_BLOCKS = 100_000;
/** So far ahead of the highest nonce a proposal's lies: what its first signer signs meanwhile elsewhere does not take it. */
const NONCE_AHEAD = 64;
const LOOKED_MS = 15_000;

/** Sign a call and send it, or have it wait for the `others` who are to sign too: {outcome, verified: null}. */
export async function propose(context, { call: [contract, name, args], others }, progress) {
  if (others.length === 0) return context.invoke(contract, name, args, { progress });
  progress("signing");
  const nonce = await freeNonce(context);
  const envelope = await context.signer.propose(contract, name, args, others, { expiresAfterBlocks: EXPIRY_BLOCKS, nonce });
  const kept = await keep(envelope);
  await leave(context, kept).catch(unlessRefused); // it can still be passed on, and says so
  return { outcome: kept, verified: null };
}

async function freeNonce({ api, identity }) {
  const { signer } = identity.get();
  const { highest } = await api.ask(`/v1/nonces/${signer}`, { open: true });
  return Math.max(highest + NONCE_AHEAD, await reservedNonce(signer) + 1);
}

/** Have an envelope wait at the node, where its signers find it; raises `Problem` where the node takes it not. */
export const leave = ({ api }, { payload, signatures }) => api.post("/v1/proposals", { payload, signatures });

/** What waits for several signatures, the newest first: envelopes {payload, signatures, waits: at this node}. */
export async function proposals(context) {
  const [kept, left] = await Promise.all([keptHere(), leftAtNode(context)]);
  const waiting = new Map(left.map((each) => [each.payload, each]));
  const mine = kept.map((each) => ({ ...merged(each, waiting.get(each.payload)), waits: waiting.has(each.payload) }));
  const others = left.filter((each) => !kept.some(({ payload }) => payload === each.payload));
  return [...others.map((each) => ({ ...each, waits: true })), ...await undone(context, mine)];
}

/** Keep an envelope; of the same payload the one with more signatures. */
export async function keep({ payload, signatures }) {
  const known = await keptHere();
  const same = known.find((each) => each.payload === payload);
  const whole = merged({ payload, signatures }, same);
  await store.put(KEPT, [whole, ...known.filter((each) => each !== same)].slice(0, KEPT_MAX));
  return whole;
}

/** Forget an envelope, here and at the node. */
export async function drop({ api }, envelope) {
  await forget(envelope.payload);
  if (envelope.waits) await api.post("/v1/proposals/withdrawals", { tx_id: await idOf(envelope) }).catch(unlessGone);
}

/** The highest nonce of what `signer` began and keeps here; -1 for none. Whatever else it signs takes a higher one. */
export async function reservedNonce(signer) {
  const begun = (await keptHere()).map(({ payload }) => JSON.parse(payload)).filter(({ signers }) => signers[0] === signer);
  return Math.max(-1, ...begun.map(({ nonce }) => nonce));
}

/** An envelope as the text of a file. */
export const textOf = ({ payload, signatures }) => `${JSON.stringify({ format: FORMAT, payload, signatures }, null, 1)}\n`;

/** The envelope in a file's text; null if it is none. Its signatures are still to be checked. */
export function envelopeOf(text) {
  try {
    const { format, ...rest } = JSON.parse(text);
    return format === FORMAT ? shaped(rest) : null;
  } catch {
    return null;
  }
}

// ------------------------------------------------------------------------------------------------------- keeping

const keptHere = async () => (await store.get(KEPT).catch(() => undefined)) ?? [];

const forget = async (payload) => store.put(KEPT, (await keptHere()).filter((each) => each.payload !== payload));

const idOf = async ({ payload }) => toHex(await sha256(utf8(payload)));

function shaped({ payload, signatures }) {
  if (typeof payload !== "string" || !Array.isArray(signatures)) return null;
  return { payload, signatures: signatures.map((each) => each && { public_key: each.public_key, signature: each.signature }) };
}

function merged(envelope, other) {
  return { ...envelope, signatures: envelope.signatures.map((each, place) => each ?? other?.signatures[place] ?? null) };
}

/** A node that does not answer this, or an older one, has nothing waiting. */
async function leftAtNode({ api, identity }) {
  if (!identity.user) return [];
  const { proposals: left } = await api.ask("/v1/proposals").catch((error) => (error instanceof Problem ? { proposals: [] } : Promise.reject(error)));
  return left.map(shaped).filter(Boolean);
}

let looked = 0;

/** Those that nobody has submitted: what somebody else has is forgotten here. Looked for now and then. */
async function undone({ api }, mine) {
  if (Date.now() < looked + LOOKED_MS) return mine;
  looked = Date.now();
  const left = await Promise.all(mine.map(async (each) => {
    if (each.waits) return each;
    const found = await api.ask(`/v1/transactions/${await idOf(each)}`).catch(() => null);
    if (found?.code !== "OK") return each;
    return forget(each.payload);
  }));
  return left.filter(Boolean);
}

function unlessRefused(error) {
  if (!(error instanceof Problem)) throw error;
}

function unlessGone(error) {
  if (!(error instanceof Problem) || error.code !== "NOT_FOUND") throw error;
}
