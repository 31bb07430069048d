// What a node claims, as JSON: read into types of ours, or refused, before anything is computed with it.

import { fromBase64 } from "./bytes.js";

/** A claim that proves nothing; `fault` says where it breaks: "malformed", "other chain", "envelope", "certificate", … */
export class NotProven extends Error {
  constructor(fault, detail) {
    super(`${fault}: ${detail}`);
    Object.assign(this, { fault, detail });
  }
}

export const refuse = (fault, detail) => { throw new NotProven(fault, detail); };

function demand(held, what) {
  if (!held) refuse("malformed", what);
}

export const int = (value) => (demand(Number.isSafeInteger(value), "an integer is wanted"), value);
export const natural = (value) => (demand(Number.isSafeInteger(value) && value >= 0, "a natural number is wanted"), value);
export const text = (value) => (demand(typeof value === "string", "text is wanted"), value);

/** Base64 in JSON, or bytes as they are. */
export function bytes(value, most = Infinity) {
  let found = value;
  if (!(value instanceof Uint8Array)) {
    try {
      found = fromBase64(value);
    } catch {
      refuse("malformed", "base64 is wanted");
    }
  }
  demand(found.length <= most, "too many bytes");
  return found;
}

/** A list whose items `read` reads. */
export function listOf(read) {
  return (value) => (demand(Array.isArray(value), "a list is wanted"), value.map((item) => read(item)));
}

/** A list of exactly these items. */
export function tuple(...readers) {
  return (value) => {
    demand(Array.isArray(value) && value.length === readers.length, "a list of another length is wanted");
    return value.map((item, index) => readers[index](item));
  };
}

/** An object of exactly these keys; those in `optional` may be missing, and then are its values. */
export function object(readers, optional = {}) {
  return (value) => {
    demand(value !== null && typeof value === "object" && !Array.isArray(value), "an object is wanted");
    demand(Object.keys(value).every((key) => key in readers), "an unknown key");
    return Object.fromEntries(Object.entries(readers).map(([key, read]) => {
      if (!(key in value)) demand(key in optional, `${key} is missing`);
      return [key, key in value ? read(value[key]) : optional[key]];
    }));
  };
}

export const nullable = (read) => (value) => (value === null ? null : read(value));

const digest = (value) => bytes(value, 1 << 16);
const statement = tuple(natural, digest, digest, digest, digest);
/** [epoch, [height, header hash, state root, results hash, next validators' hash], [[sender, signature], …]] */
export const certificate = tuple(natural, statement, listOf(tuple(natural, (value) => bytes(value, 64))));
/** [chain, channel, epoch, height, previous hash, time, batch digest, transaction root] */
export const header = tuple(digest, text, int, int, digest, int, digest, digest);
const validator = tuple(text, bytes, text);
/** [number, first height, [[name, key, address], …], first primary, [[index, until height], …]] */
export const epoch = tuple(int, int, listOf(validator), int, listOf(tuple(int, int)));
export const boundary = tuple(epoch, certificate);
export const branch = object({ index: int, count: int, path: listOf(bytes) });
/** [id, code, message, gas used, value, [[contract, name, data], …]] */
export const result = tuple(bytes, text, text, int, bytes, listOf(tuple(text, text, bytes)));
export const later = object({ header, results_root: bytes });
