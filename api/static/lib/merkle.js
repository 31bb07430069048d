// Merkle paths over lists (RFC 6962, with the count sealed into the root) and through the state tree (a 16-way trie over
// SHA-256 of the key). The nodes' own are in ledger/merkle.py and ledger/tree.py.

import { concat, equal, sha256, utf8 } from "./bytes.js";

const COUNT_BOUND = 2 ** 32;
const WIDTH = 16;
const HASH_BYTES = 32;
const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);
const SEAL = Uint8Array.of(2);

/** The root that `path` leads to from leaf data at `index` of `count`; null if the path has a wrong length. */
export async function rootFromProof(leaf, { index, count, path }) {
  if (!(index >= 0 && index < count && count < COUNT_BOUND)) return null;
  let found = await sha256(LEAF, leaf);
  let used = 0;
  for (let place = index, width = count; width > 1; place = Math.floor(place / 2), width = Math.ceil(width / 2)) {
    if ((place ^ 1) >= width) continue;
    if (used === path.length) return null;
    const sibling = path[used];
    used += 1;
    found = place & 1 ? await sha256(NODE, sibling, found) : await sha256(NODE, found, sibling);
  }
  return used === path.length ? sha256(SEAL, bigEndian(count), found) : null;
}

function bigEndian(count) {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(count));
  return bytes;
}

const nibbles = (hash) => Array.from(hash, (byte) => [byte >> 4, byte & 15]).flat();
const leafHash = (keyHash, recordHash) => sha256(LEAF, keyHash, recordHash);

/** Whether `steps` and `other` show that `key` holds `record` (null: is absent) under `root`. */
export async function checkTreeProof(root, { key, record, steps, other }) {
  const keyHash = await sha256(utf8(key));
  const way = nibbles(keyHash);
  if (steps.length < 1 || steps.length > way.length || !isConsistent(keyHash, way, record, steps, other)) return false;
  let current = null;
  if (record !== null) current = await leafHash(keyHash, await sha256(record));
  else if (other !== null) current = await leafHash(other[0], other[1]);
  for (let depth = steps.length - 1; depth >= 0; depth -= 1) {
    current = await branchHash(steps[depth], way[depth], current);
    if (current === null) return false;
  }
  return equal(current, root);
}

/** The hash of a branch whose slot `taken` holds `current` (null: nothing); null if the step cannot be. */
async function branchHash([slots, siblings], taken, current) {
  const rising = slots.every((slot, i) => slot >= 0 && slot < WIDTH && (i === 0 || slots[i - 1] < slot));
  if (!rising || slots.includes(taken) !== (current !== null)) return null;
  if (siblings.length !== slots.length - (current !== null ? 1 : 0)) return null;
  if (siblings.some((sibling) => sibling.length !== HASH_BYTES)) return null;
  const rest = siblings.values();
  const hashes = slots.map((slot) => (slot === taken && current !== null ? current : rest.next().value));
  const bitmap = slots.reduce((sum, slot) => sum + 2 ** slot, 0);
  return sha256(NODE, Uint8Array.of(bitmap >> 8, bitmap & 255), concat(...hashes));
}

/** Whether what the proof ends in can stand where the key's way ends. */
function isConsistent(keyHash, way, record, steps, other) {
  if (other === null) return true;
  const [otherKey] = other;
  const beside = otherKey.length === keyHash.length && nibbles(otherKey).slice(0, steps.length).every((n, i) => n === way[i]);
  return record === null && !equal(otherKey, keyHash) && beside;
}
