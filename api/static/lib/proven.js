// What a key holds, by proof: asked of the node, and checked under the genesis that this page trusts.

import { Problem } from "./api.js";
import { NotProven, verifyState } from "./verify.js";

const BEHIND_BLOCKS_MAX = 64;
/** Of so many nonces up to the highest one it is kept whether they are used (ledger/authentication.py). */
const NONCE_WINDOW = 1_024;

/** The value under `key` at the node's newest certified block, or null where there is proof that there is none. Raises
 * `NotProven` for a forgery, `Problem` NODE_BEHIND for a state older than what this page has verified before. */
export async function proven(context, key) {
  return (await provenEntry(context, key)).value;
}

async function provenEntry({ api, trust }, key) {
  const { proof } = await api.ask(`/v1/proof?key=${encodeURIComponent(key)}`);
  const found = await trust.judge("proof", async () => {
    const claim = await verifyState(proof, trust.genesis);
    if (claim.key !== key) throw new NotProven("record", "the proof is another key's");
    return claim;
  });
  if (found.height + BEHIND_BLOCKS_MAX < (trust.newest?.height ?? 0)) {
    throw new Problem("NODE_BEHIND", "The node shows a state that is older than what it has shown before.", 0);
  }
  return found;
}

/** Whether there is proof that `signer` had not used `nonce` when block `height` had executed, so that nothing signed with it had
 * executed by then. Raises as `proven` does. */
export async function isNonceUnused(context, signer, nonce, height) {
  const found = await provenEntry(context, `system/nonce/${signer}`);
  const { highest, bits } = found.value ?? { highest: -1, bits: "0" };
  const isKept = nonce > highest - NONCE_WINDOW;
  const isUsed = nonce <= highest && (BigInt(`0x${bits}`) >> BigInt(highest - nonce)) % 2n === 1n;
  return found.height >= height && isKept && !isUsed;
}

/** Raises `Problem` NOT_AS_SHOWN unless what is proven under `key` is as it was shown: {field: value}, or null for nothing. */
export async function asShown(context, key, shown) {
  const value = await proven(context, key);
  const same = shown === null || value === null
    ? shown === value
    : Object.entries(shown).every(([name, each]) => String(value[name]) === String(each));
  if (!same) throw new Problem("NOT_AS_SHOWN", "What the node showed is not what is certified. Nothing was signed.", 0);
}

/** The height at which something signed now is to expire: so many blocks behind the newest one that this page has verified.
 * A node that named a height far ahead could keep what is signed, and use it when it likes. */
export async function expiryHeight({ api, trust }, blocks) {
  if (trust.newest === null) {
    const { certified_height: height } = await api.ask("/v1/status", { open: true });
    if (height === 0) return blocks;
    await trust.checkBlock((await api.ask(`/v1/certificates/${height}`, { open: true })).proof);
  }
  return trust.newest.height + blocks;
}
