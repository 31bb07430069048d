// Has the page's own code judge claims: {genesis, encodings, claims: [[kind, tree], ...]} as JSON on standard input; on standard
// output what each proves, or {fault}.

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [root] = process.argv.slice(2);
const load = (name) => import(pathToFileURL(`${root}/${name}.js`).href);
const [verify, msgpack, bytes, proven, acts, parts] = await Promise.all(
  ["lib/verify", "lib/msgpack", "lib/bytes", "lib/proven", "acts/shown", "parts/documents"].map(load));
const asked = JSON.parse(readFileSync(0, "utf8"));

/** The page's context where a node answers with this, and the page has verified a block at `newest` before. */
const context = (genesis, answer, newest = null) => ({
  trust: { genesis, newest: newest && { height: newest }, judge: (_, check) => check() },
  api: { ask: async () => answer, post: async () => answer },
});

/** Whether what a node showed is what it proves. */
const checks = {
  receipt: verify.verifyReceipt, block: verify.verifyBlock, state: verify.verifyState, rows: verify.verifyRows,
  shown: ({ key, shown, proof, newest }, genesis) => proven.asShown(context(genesis, { proof }, newest), key, shown),
  listing: ({ listing, interval, proof }, genesis) => acts.listingAsShown(context(genesis, { proof }), listing, interval),
  grid_fee: ({ zones, interval, fee, proof }, genesis) => acts.gridFeeAsShown(context(genesis, { proof }), zones, interval, BigInt(fee)),
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
