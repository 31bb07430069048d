// Has the page's own code judge claims: {genesis, encodings, claims: [[kind, tree], ...]} as JSON on standard input; on standard
// output what each proves, or {fault}.

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [root] = process.argv.slice(2);
const load = (name) => import(pathToFileURL(`${root}/${name}.js`).href);
const [verify, msgpack, bytes, proven, acts, parts, sign, { Problem }] = await Promise.all(
  ["lib/verify", "lib/msgpack", "lib/bytes", "lib/proven", "acts/shown", "parts/documents", "lib/sign", "lib/api"].map(load));
const asked = JSON.parse(readFileSync(0, "utf8"));

/** The page's context where a node answers with this, and the page has verified a block at `newest` before. */
const context = (genesis, answer, newest = null) => ({
  trust: { genesis, newest: newest && { height: newest }, judge: (_, check) => check() },
  api: { ask: async () => answer, post: async () => answer },
});

/** Sends a payload to a node that answers with these receipts in turn, the last one for ever, and with this proof when it is asked
 * for one: what the page takes for the outcome, and with which nonce it signs next. `refuses`: they come as refusals. */
async function outcome({ payload, receipts, proof, refuses, patienceMs }, genesis) {
  const held = { ...context(genesis, { proof, highest: 90 }, 1), sent: 0 };
  held.api.post = async () => {
    const receipt = receipts[Math.min(held.sent, receipts.length - 1)];
    held.sent += 1;
    if (refuses) throw new Problem("NONCE_USED", "No.", 409, { receipt });
    return { receipt };
  };
  const [signer] = JSON.parse(payload).signers;
  const made = new sign.Signer(held.api, held.trust, () => ({ signer, publicKeyText: "", sign: async () => new Uint8Array(64) }));
  const signatures = [null];
  const ended = await made.submit({ payload, signatures }, { patienceMs }).then(
    ({ verified }) => ({ code: verified.code }), (error) => ({ code: error.code, fault: error.fault, failed: error instanceof sign.Failed }));
  const next = JSON.parse((await made.propose("box", "put", {})).payload).nonce;
  return { ...ended, sent: held.sent, next };
}

/** Whether what a node showed is what it proves. */
const checks = {
  receipt: verify.verifyReceipt, block: verify.verifyBlock, state: verify.verifyState, rows: verify.verifyRows,
  shown: ({ key, shown, proof, newest }, genesis) => proven.asShown(context(genesis, { proof }, newest), key, shown),
  listing: ({ listing, interval, proof }, genesis) => acts.listingAsShown(context(genesis, { proof }), listing, interval),
  grid_fee: ({ zones, interval, fee, proof }, genesis) => acts.gridFeeAsShown(context(genesis, { proof }), zones, interval, BigInt(fee)),
  outcome,
  documents: ({ type, answer }, genesis) => parts.documents(context(genesis, answer), type),
};

async function judged(genesis, [kind, tree]) {
  try {
    return await checks[kind](tree, genesis) ?? { holds: true };
  } catch (error) {
    if (error instanceof verify.NotProven) return { fault: error.fault };
    if (error.code) return { code: error.code };
    throw error;
  }
}

const genesis = asked.genesis && await verify.readGenesis(bytes.fromBase64(asked.genesis));
const said = [];
for (const claim of asked.claims) said.push(await judged(genesis, claim));
const again = (text) => bytes.toBase64(msgpack.encode(msgpack.decode(bytes.fromBase64(text))));
process.stdout.write(JSON.stringify({ chain: genesis?.id, said, encodings: asked.encodings.map(again) }));
