// The page verifies by itself, with nothing but the genesis file that it trusts: receipts, blocks, and what a key holds.
// The nodes' own are in ledger/receipts.py, ledger/proofs.py and ledger/block_proofs.py. All raise `NotProven`.

import { equal, sha256, toHex } from "./bytes.js";
import { checkCertificate, follow, headerHash, readGenesis, resultsHash } from "./certificates.js";
import * as claims from "./claims.js";
import { checkTreeProof, rootFromProof } from "./merkle.js";
import { decode, encode, NotDecodable, NotEncodable } from "./msgpack.js";
import { verify } from "./signatures.js";

export { NotProven } from "./claims.js";
export { faultyMax, quorum, readGenesis } from "./certificates.js";

const { refuse, nullable, listOf, tuple, object, bytes, int, text } = claims;
const RECEIPT_VERSION = 2;
const STATE_PROOF_VERSION = 1;
const WIDE_DIGITS = 78;
const KEYS = "args,chain,channel,contract,expires_at_height,function,gas_limit,nonce,signers,v";

const readReceipt = object({
  v: int, envelope: bytes, result: claims.result, header: claims.header, transaction: claims.branch,
  outcome: claims.branch, results_before: bytes, certificate: claims.certificate, later: listOf(claims.later),
  boundaries: listOf(bytes),
}, { later: [], boundaries: [] });
const readBlockProof = object({
  header: claims.header, later: listOf(claims.header), certificate: claims.certificate, boundaries: listOf(bytes),
});
const readAnchor = object({ header: claims.header, certificate: claims.certificate, boundaries: listOf(bytes) });
const readKeyProof = object({
  key: text, record: nullable(bytes), steps: listOf(tuple(listOf(int), listOf(bytes))), other: nullable(tuple(bytes, bytes)),
});
const readStateProof = object({ v: int, anchor: readAnchor, entry: readKeyProof });
const readEnvelope = tuple(bytes, listOf(tuple(bytes, bytes)));

/** A receipt as JSON → {txId, height, index, timeMs, code, message, executed, value, payload (text), events, signers, validators, names}.
 * `executed`: whether it was admitted there, which uses its nonce and so happens once. If not, the receipt tells of that place in the
 * chain alone: what is ordered again has a second receipt, of a refusal. */
export const verifyReceipt = (tree, genesis) => guarded(async () => {
  const receipt = readReceipt(tree);
  if (receipt.v !== RECEIPT_VERSION) refuse("malformed", `version ${receipt.v} is unknown`);
  const { certificate, later, outcome, result } = receipt;
  await checkHeaders(receipt.header, later.map((each) => each.header), certificate, genesis);
  const epoch = await epochOf(receipt, genesis);
  await checkCertificate(certificate, genesis, epoch);
  const envelope = await checkEnvelope(receipt.envelope);
  if (!equal(envelope.id, result[0])) refuse("envelope", "the result is another transaction's");
  const leaf = await sha256(receipt.envelope);
  await leadsTo(await rootFromProof(leaf, receipt.transaction), receipt.header[7], "transaction proof");
  const root = await rootFromProof(encode(result), outcome);
  if (root === null) refuse("result proof", "no path from that place");
  let found = await resultsHash(receipt.results_before, root);
  for (const each of later) found = await resultsHash(found, each.results_root);
  await leadsTo(found, certificate[1][3], "result proof");
  return {
    txId: toHex(envelope.id), height: receipt.header[3], index: outcome.index, timeMs: receipt.header[5],
    code: result[1], message: result[2], executed: result[3] > 0, gasUsed: result[3], value: narrow(decode(result[4])),
    events: result[5].map(([contract, name, data]) => [contract, name, narrow(decode(data))]),
    payload: envelope.payload, ...signedBy(certificate, epoch),
  };
});

/** A block's proof as JSON → {height, hash, timeMs, previousHash, transactionRoot, stateRoot (if the certificate is its own),
 * certifiedHeight, epoch, signers, validators, names}. */
export const verifyBlock = (tree, genesis) => guarded(async () => {
  const { header, later, certificate, boundaries } = readBlockProof(tree);
  await checkHeaders(header, later, certificate, genesis);
  const epoch = await epochOf({ certificate, boundaries }, genesis);
  await checkCertificate(certificate, genesis, epoch);
  return {
    height: header[3], hash: toHex(await headerHash(header)), timeMs: header[5], previousHash: toHex(header[4]),
    transactionRoot: toHex(header[7]), stateRoot: later.length ? null : toHex(certificate[1][2]),
    certifiedHeight: certificate[1][0], epoch: epoch[0], ...signedBy(certificate, epoch),
  };
});

/** A state proof as JSON → {key, value (null: absent), version, height, timeMs, signers, validators, names}. */
export const verifyState = (tree, genesis) => guarded(async () => {
  const proof = readStateProof(tree);
  if (proof.v !== STATE_PROOF_VERSION) refuse("malformed", `version ${proof.v} is unknown`);
  return verifiedEntry(proof.entry, proof.anchor, await checkedAnchor(proof.anchor, genesis));
});

/** Rows of an answer that was asked for with `prove`, each checked against its proof: as they are, with `proven` true, or
 * false where the node says why there is no proof (`unproven`). */
export const verifyRows = (answer, genesis) => guarded(async () => {
  const anchor = readAnchor(answer.anchor);
  const epoch = await checkedAnchor(anchor, genesis);
  return Promise.all(answer.rows.map(async (row) => {
    if (!row.proof && row.unproven) return { ...row, proven: false };
    const found = await verifiedEntry(readKeyProof(row.proof), anchor, epoch);
    const same = found.key === row.key && found.version?.join() === [row.height, row.index].join();
    if (!same || !alike(found.value, row.value)) refuse("record", `the row of ${row.key} is not what is proven`);
    return { ...row, proven: true };
  }));
});

async function checkedAnchor(anchor, genesis) {
  await checkHeaders(anchor.header, [], anchor.certificate, genesis);
  const epoch = await epochOf(anchor, genesis);
  await checkCertificate(anchor.certificate, genesis, epoch);
  return epoch;
}

async function verifiedEntry(proof, anchor, epoch) {
  if (!(await checkTreeProof(anchor.certificate[1][2], proof))) refuse("branches", "they do not lead to the certified state root");
  const entry = proof.record === null ? null : readEntry(proof.record);
  return {
    key: proof.key, value: entry && narrow(decode(entry[2])), version: entry && entry.slice(0, 2), height: anchor.header[3],
    timeMs: anchor.header[5], ...signedBy(anchor.certificate, epoch),
  };
}

function readEntry(record) {
  const entry = tuple(int, int, bytes)(decode(record));
  if (!equal(encode(entry), record)) refuse("record", "not in canonical form");
  return entry;
}

/** The header and those after it up to the certificate's block: one chain, one epoch, this network's. */
async function checkHeaders(first, later, certificate, genesis) {
  const [epoch, statement] = certificate;
  if (!equal(first[0], genesis.chain) || first[1] !== genesis.channel) refuse("other chain", "the header belongs to another chain or channel");
  if (later.length > genesis.windowBlocks) refuse("header", "more blocks lead to the certificate than a window has");
  let header = first;
  for (const next of later) {
    const follows = equal(next[4], await headerHash(header)) && next[3] === header[3] + 1;
    if (!follows) refuse("header", `block ${header[3] + 1} does not follow the one before`);
    header = next;
  }
  if (!equal(await headerHash(header), statement[1]) || header[3] !== statement[0]) refuse("header", "the certificate is another block's");
  if (first[2] !== header[2] || header[2] !== epoch) refuse("header", "the certificate is another epoch's");
}

async function epochOf({ certificate, boundaries }, genesis) {
  const epoch = await follow(genesis, boundaries);
  if (epoch[0] !== certificate[0]) refuse("boundary", `the boundaries lead to epoch ${epoch[0]}, not to ${certificate[0]}`);
  return epoch;
}

async function checkEnvelope(raw) {
  const { payload, said, named, signatures } = readParts(raw);
  const signers = await Promise.all(signatures.map(async ([key]) => toHex(await sha256(key))));
  if (signers.length === 0 || JSON.stringify(signers) !== JSON.stringify(named)) refuse("envelope", "other signers than it names");
  const good = await Promise.all(signatures.map(([key, signature]) => verify(key, signature, payload)));
  if (good.includes(false)) refuse("envelope", "a signature is wrong");
  return { id: await sha256(payload), payload: said };
}

function readParts(raw) {
  try {
    const [payload, signatures] = readEnvelope(decode(raw));
    const said = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(payload);
    const tree = JSON.parse(said);
    if (Object.keys(tree).sort().join() === KEYS) return { payload, said, named: tree.signers, signatures };
  } catch { /* told below: whatever breaks here, it is no envelope */ }
  return refuse("envelope", "not an envelope");
}

async function leadsTo(found, root, fault) {
  if (found === null || !equal(found, root)) refuse(fault, "does not lead to the certified root");
}

function signedBy([, , signatures], epoch) {
  return { signers: signatures.length, validators: epoch[2].length, names: signatures.map(([sender]) => epoch[2][sender][0]) };
}

/** Values as the nodes' documents have them: whole numbers from 2^53 on are text of fixed width. */
function narrow(value) {
  if (typeof value === "bigint") return wideText(value);
  if (Array.isArray(value)) return value.map(narrow);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, narrow(item)]));
}

function wideText(value) {
  const digits = (value < 0n ? -value : value).toString().padStart(WIDE_DIGITS, "0");
  return value < 0n ? `-${digits}` : digits;
}

function alike(one, other) {
  if (one === null || other === null || typeof one !== "object" || typeof other !== "object") return one === other;
  const names = Object.keys(one);
  return Array.isArray(one) === Array.isArray(other) && names.length === Object.keys(other).length
    && names.every((name) => Object.hasOwn(other, name) && alike(one[name], other[name]));
}

/** Whatever breaks while a claim is read is the claim's fault, not this page's. */
async function guarded(check) {
  try {
    return await check();
  } catch (error) {
    const unreadable = error instanceof NotDecodable || error instanceof NotEncodable || error instanceof SyntaxError || error instanceof TypeError;
    return unreadable ? refuse("malformed", error.message) : Promise.reject(error);
  }
}
