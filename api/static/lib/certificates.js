// Execution certificates, and the boundaries that lead from the trusted genesis to the validators of any later epoch.
// The nodes' own are in ledger/certificates.py and ledger/epochs.py.

import { equal, fromBase64, sha256, toHex, utf8 } from "./bytes.js";
import { boundary as readBoundary, NotProven, refuse } from "./claims.js";
import { decode, encode, NotDecodable, NotEncodable } from "./msgpack.js";
import { isPoint, verify } from "./signatures.js";

const DOMAIN = "wattquorum/1";
const BOUNDARIES_MAX = 100_000;
const VALIDATORS_MAX = 128;
const HEIGHT_MAX = 2 ** 53;
const CHECKED_KEPT_MAX = 64;

export const faultyMax = (n) => Math.floor((n - 1) / 3);
/** q = ⌈(n + f + 1) / 2⌉ */
export const quorum = (n) => Math.floor((n + faultyMax(n)) / 2) + 1;

/** What a genesis file fixes, from its bytes: chain (its hash), channel, network, first epoch, limits. */
export async function readGenesis(raw) {
  let file;
  try {
    file = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(raw));
    const validators = file.validators.map((v) => [v.name, fromBase64(v.public_key), v.address]);
    const chain = await sha256(raw);
    const genesis = {
      raw, chain, id: toHex(chain), channel: file.channel, network: file.network, lab: file.lab, timeMs: file.time_ms,
      windowBlocks: file.limits.window_blocks, roots: file.roots, organisations: file.organisations,
      parameters: file.parameters, epoch: [0, 1, validators, file.first_primary, []],
    };
    await checkEpoch(genesis.epoch);
    return genesis;
  } catch (error) {
    return refuse("malformed", `not a genesis file: ${error.detail ?? error.message}`);
  }
}

export const headerHash = (header) => sha256(encode([DOMAIN, "header", header]));
export const epochHash = (epoch) => sha256(encode([DOMAIN, "epoch", epoch]));
export const resultsHash = (before, root) => sha256(encode([DOMAIN, "results", before, root]));

const checked = new Map();

/** At least q signatures, by distinct validators of `epoch` in ascending order, each good; else `NotProven`. */
export async function checkCertificate(certificate, genesis, epoch) {
  const [number, statement, signatures] = certificate;
  const validators = epoch[2];
  if (number !== epoch[0]) refuse("certificate", `it is of epoch ${number}, not of ${epoch[0]}`);
  const senders = signatures.map(([sender]) => sender);
  const rising = senders.every((sender, i) => sender < validators.length && (i === 0 || senders[i - 1] < sender));
  if (!rising) refuse("certificate", "signers are not distinct validators in order");
  if (senders.length < quorum(validators.length)) refuse("certificate", `${senders.length} of ${quorum(validators.length)} signatures`);
  const signed = encode([DOMAIN, "outcome", genesis.chain, genesis.channel, number, statement]);
  const name = toHex(await sha256(signed, await epochHash(epoch), encode(signatures)));
  if (checked.has(name)) return;
  const good = await Promise.all(signatures.map(([sender, signature]) => verify(validators[sender][1], signature, signed)));
  const wrong = good.indexOf(false);
  if (wrong >= 0) refuse("certificate", `the signature of ${validators[senders[wrong]][0]} is wrong`);
  if (checked.size >= CHECKED_KEPT_MAX) checked.delete(checked.keys().next().value);
  checked.set(name, true);
}

/** The epoch to which encoded boundaries lead from genesis, each verified. */
export async function follow(genesis, boundaries) {
  if (boundaries.length > BOUNDARIES_MAX) refuse("boundary", "too many");
  let epoch = genesis.epoch;
  for (const raw of boundaries) epoch = await step(genesis, epoch, canonical(raw));
  return epoch;
}

function canonical(raw) {
  try {
    const boundary = readBoundary(decode(raw));
    if (equal(encode(boundary), raw)) return boundary;
  } catch (error) {
    if (!(error instanceof NotDecodable || error instanceof NotEncodable || error instanceof NotProven)) throw error;
  }
  return refuse("boundary", "not in canonical form");
}

async function step(genesis, epoch, [following, certificate]) {
  const [height, , , , nextHash] = certificate[1];
  if (following[0] !== epoch[0] + 1 || following[1] !== height + 1) refuse("boundary", `epoch ${following[0]} does not follow`);
  if (height < epoch[1]) refuse("boundary", `the boundary at ${height} lies before epoch ${epoch[0]}`);
  try {
    await checkEpoch(following);
    await checkCertificate(certificate, genesis, epoch);
  } catch (error) {
    if (error instanceof NotProven) refuse("boundary", error.detail);
    throw error;
  }
  if (!equal(nextHash, await epochHash(following))) refuse("boundary", `the one at ${height} names other validators`);
  return following;
}

/** Whether such an epoch can be. */
async function checkEpoch([number, firstHeight, validators, firstPrimary, skipped]) {
  const n = validators.length;
  const wrong = (what) => refuse("epoch", what);
  if (n < 1 || n > VALIDATORS_MAX) wrong("there are 1 to 128 validators");
  if (!(number >= 0 && number < HEIGHT_MAX && firstHeight >= 1 && firstHeight < HEIGHT_MAX)) wrong("an impossible height");
  const different = (list) => new Set(list).size === list.length;
  if (!different(validators.map(([name]) => name)) || !different(validators.map(([, key]) => toHex(key)))) wrong("two alike");
  for (const [name, key, address] of validators) {
    if (!/^[!-~]{1,64}$/.test(name)) wrong("a validator's name");
    if (!(await isPoint(key))) wrong(`the key of ${name}`);
    if (address !== "" && !isAddress(address)) wrong(`the address of ${name}`);
  }
  const indexes = skipped.map(([index]) => index);
  const rising = indexes.every((index, i) => index >= 0 && index < n && (i === 0 || indexes[i - 1] < index));
  if (!rising || indexes.length > faultyMax(n)) wrong("the skipped validators");
  if (!(firstPrimary >= 0 && firstPrimary < n) || indexes.includes(firstPrimary)) wrong("the first primary");
}

function isAddress(text) {
  const match = /^([!-~]+):(\d{1,5})$/.exec(text);
  return utf8(text).length <= 260 && match !== null && Number(match[2]) >= 1 && Number(match[2]) <= 65_535;
}
