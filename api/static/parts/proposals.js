// Proposals: transactions that several sign. Each is kept in this browser until it is done, goes to the other signers as a
// file or text, and comes back with their signatures; whoever has the last one submits it.

import { store } from "../lib/store.js";

const KEPT = "proposals";
const KEPT_MAX = 50;
const FORMAT = "wattquorum/1 proposal";
/** A day of quick blocks: people need longer than programs. */
const EXPIRY_BLOCKS = 100_000;

/** Sign a call and send it, or keep it for the `others` who are to sign too: {outcome, verified: null}. */
export async function propose({ invoke, signer }, { call: [contract, name, args], others }, progress) {
  if (others.length === 0) return invoke(contract, name, args, { progress });
  progress("signing");
  const envelope = await signer.propose(contract, name, args, others, { expiresAfterBlocks: EXPIRY_BLOCKS });
  return { outcome: await keep(envelope), verified: null };
}

/** What this browser keeps, the newest first: envelopes {payload, signatures}. */
export async function proposals() {
  return (await store.get(KEPT).catch(() => undefined)) ?? [];
}

/** Keep an envelope; of the same payload the one with more signatures. */
export async function keep(envelope) {
  const known = await proposals();
  const same = known.find((each) => each.payload === envelope.payload);
  const merged = same === undefined ? envelope : { ...envelope, signatures: envelope.signatures.map((each, place) => each ?? same.signatures[place]) };
  await store.put(KEPT, [merged, ...known.filter((each) => each !== same)].slice(0, KEPT_MAX));
  return merged;
}

export async function drop(envelope) {
  await store.put(KEPT, (await proposals()).filter((each) => each.payload !== envelope.payload));
}

/** An envelope as the text of a file. */
export const textOf = (envelope) => `${JSON.stringify({ format: FORMAT, ...envelope }, null, 1)}\n`;

/** The envelope in a file's text; null if it is none. Its signatures are still to be checked. */
export function envelopeOf(text) {
  try {
    const { format, payload, signatures } = JSON.parse(text);
    const shaped = format === FORMAT && typeof payload === "string" && Array.isArray(signatures);
    return shaped ? { payload, signatures: signatures.map((each) => each && { public_key: each.public_key, signature: each.signature }) } : null;
  } catch {
    return null;
  }
}
