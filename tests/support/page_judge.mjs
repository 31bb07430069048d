// Has the page's own code judge claims: {genesis, encodings, claims: [[kind, tree], ...]} as JSON on standard input; on standard
// output what each proves, or {fault}.

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [root] = process.argv.slice(2);
const load = (name) => import(pathToFileURL(`${root}/lib/${name}.js`).href);
const [verify, msgpack, bytes, proven] = await Promise.all(["verify", "msgpack", "bytes", "proven"].map(load));
const asked = JSON.parse(readFileSync(0, "utf8"));
const checks = { receipt: verify.verifyReceipt, block: verify.verifyBlock, state: verify.verifyState, rows: verify.verifyRows, shown };

/** Whether what a node showed is what it proves: {key, shown, proof} and the height that the page has verified before. */
async function shown({ key, shown: said, proof, newest }, genesis) {
  const trust = { genesis, newest: newest && { height: newest }, judge: (_, check) => check() };
  try {
    await proven.asShown({ trust, api: { ask: async () => ({ proof }) } }, key, said);
    return { key };
  } catch (error) {
    if (error.code) return { code: error.code };
    throw error;
  }
}

async function judged(genesis, [kind, tree]) {
  try {
    return await checks[kind](tree, genesis);
  } catch (error) {
    if (error instanceof verify.NotProven) return { fault: error.fault };
    throw error;
  }
}

const genesis = asked.genesis && await verify.readGenesis(bytes.fromBase64(asked.genesis));
const said = [];
for (const claim of asked.claims) said.push(await judged(genesis, claim));
const again = (text) => bytes.toBase64(msgpack.encode(msgpack.decode(bytes.fromBase64(text))));
process.stdout.write(JSON.stringify({ chain: genesis?.id, said, encodings: asked.encodings.map(again) }));
