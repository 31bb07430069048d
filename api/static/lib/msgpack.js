// msgpack as the chain uses it: what is hashed and signed is encoded here exactly as the nodes encode it.
// Integers are numbers, or BigInt beyond 2^53; binaries are Uint8Array; maps are objects; no floats.

import { concat, utf8 } from "./bytes.js";

const WIDE = 1; // extension: a big-endian two's complement integer beyond 64 bits
const DEPTH_MAX = 64;

export class NotEncodable extends Error {}

/** The canonical bytes of null, booleans, integers, text, Uint8Array, and arrays of those. */
export function encode(value) {
  const parts = [];
  put(value, parts);
  return concat(...parts);
}

function put(value, parts) {
  if (value === null) parts.push([0xc0]);
  else if (typeof value === "boolean") parts.push([value ? 0xc3 : 0xc2]);
  else if (typeof value === "number" || typeof value === "bigint") parts.push(integer(value));
  else if (typeof value === "string") putText(value, parts);
  else if (value instanceof Uint8Array) parts.push(sized(value.length, null, 0xc4, 0xc5, 0xc6), value);
  else if (Array.isArray(value)) {
    parts.push(sized(value.length, 0x90, null, 0xdc, 0xdd));
    for (const item of value) put(item, parts);
  } else throw new NotEncodable(`no encoding for ${typeof value}`);
}

function putText(text, parts) {
  if (/\p{Surrogate}/u.test(text)) throw new NotEncodable("half of a surrogate pair is no text");
  const bytes = utf8(text);
  parts.push(bytes.length < 32 ? [0xa0 | bytes.length] : sized(bytes.length, null, 0xd9, 0xda, 0xdb), bytes);
}

/** A length's head; `fixed` is the first byte of the form for up to 15, where there is one. */
function sized(length, fixed, one, two, four) {
  if (fixed !== null && length < 16) return [fixed | length];
  if (one !== null && length < 0x100) return [one, length];
  return length < 0x10000 ? [two, ...big(length, 2)] : [four, ...big(length, 4)];
}

const big = (value, bytes) => Array.from({ length: bytes }, (_, i) => Number((BigInt(value) >> BigInt(8 * (bytes - 1 - i))) & 0xffn));

function integer(value) {
  if (typeof value === "number" && !Number.isSafeInteger(value)) throw new NotEncodable("no exact integer");
  const n = BigInt(value);
  if (n >= 0n) {
    if (n < 0x80n) return [Number(n)];
    if (n < 0x100n) return [0xcc, Number(n)];
    if (n < 0x10000n) return [0xcd, ...big(n, 2)];
    if (n < 0x100000000n) return [0xce, ...big(n, 4)];
    if (n < 1n << 64n) return [0xcf, ...big(n, 8)];
  } else {
    if (n >= -0x20n) return [Number(n & 0xffn)];
    if (n >= -0x80n) return [0xd0, Number(n & 0xffn)];
    if (n >= -0x8000n) return [0xd1, ...big(n, 2)];
    if (n >= -0x80000000n) return [0xd2, ...big(n, 4)];
    if (n >= -(1n << 63n)) return [0xd3, ...big(n, 8)];
  }
  throw new NotEncodable("beyond 64 bits");
}

// --------------------------------------------------------------------------------------------------- decoding

export class NotDecodable extends Error {}

/** The one value that `bytes` hold. */
export function decode(bytes) {
  const reader = { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length), at: 0 };
  const value = take(reader, 0);
  if (reader.at !== bytes.length) throw new NotDecodable("something follows");
  return value;
}

function take(reader, depth) {
  if (depth > DEPTH_MAX) throw new NotDecodable("nested too deeply");
  const kind = number(reader, 1);
  if (kind < 0x80) return kind;
  if (kind < 0x90) return map(reader, kind & 15, depth);
  if (kind < 0xa0) return list(reader, kind & 15, depth);
  if (kind < 0xc0) return text(reader, kind & 31);
  if (kind >= 0xe0) return kind - 256;
  const made = MAKERS[kind];
  if (!made) throw new NotDecodable(`no value begins with ${kind}`);
  return made(reader, depth);
}

const MAKERS = {
  0xc0: () => null, 0xc2: () => false, 0xc3: () => true,
  0xc4: (r) => raw(r, number(r, 1)), 0xc5: (r) => raw(r, number(r, 2)), 0xc6: (r) => raw(r, number(r, 4)),
  0xc7: (r) => wide(r, number(r, 1)),
  0xcc: (r) => number(r, 1), 0xcd: (r) => number(r, 2), 0xce: (r) => number(r, 4), 0xcf: (r) => number(r, 8),
  0xd0: (r) => signed(r, 1), 0xd1: (r) => signed(r, 2), 0xd2: (r) => signed(r, 4), 0xd3: (r) => signed(r, 8),
  0xd4: (r) => wide(r, 1), 0xd5: (r) => wide(r, 2), 0xd6: (r) => wide(r, 4), 0xd7: (r) => wide(r, 8), 0xd8: (r) => wide(r, 16),
  0xd9: (r) => text(r, number(r, 1)), 0xda: (r) => text(r, number(r, 2)), 0xdb: (r) => text(r, number(r, 4)),
  0xdc: (r, depth) => list(r, number(r, 2), depth), 0xdd: (r, depth) => list(r, number(r, 4), depth),
  0xde: (r, depth) => map(r, number(r, 2), depth), 0xdf: (r, depth) => map(r, number(r, 4), depth),
};

function raw(reader, length) {
  if (reader.at + length > reader.bytes.length) throw new NotDecodable("too short");
  reader.at += length;
  return reader.bytes.slice(reader.at - length, reader.at);
}

const exact = (n) => (n <= BigInt(Number.MAX_SAFE_INTEGER) && n >= BigInt(Number.MIN_SAFE_INTEGER) ? Number(n) : n);

function number(reader, length) {
  return exact(raw(reader, length).reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n));
}

function signed(reader, length) {
  return exact(BigInt.asIntN(8 * length, BigInt(number(reader, length))));
}

function wide(reader, length) {
  if (number(reader, 1) !== WIDE) throw new NotDecodable("an unknown extension");
  const value = raw(reader, length).reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
  return exact(BigInt.asIntN(8 * length, value));
}

function text(reader, length) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(raw(reader, length));
  } catch (error) {
    throw new NotDecodable(error.message);
  }
}

function list(reader, length, depth) {
  if (length > reader.bytes.length) throw new NotDecodable("too short");
  return Array.from({ length }, () => take(reader, depth + 1));
}

function map(reader, length, depth) {
  if (length > reader.bytes.length) throw new NotDecodable("too short");
  const found = Object.create(null);
  for (let i = 0; i < length; i += 1) {
    const key = take(reader, depth + 1);
    if (typeof key !== "string") throw new NotDecodable("keys are text");
    found[key] = take(reader, depth + 1);
  }
  return found;
}
