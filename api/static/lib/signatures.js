// ECDSA P-256 with SHA-256 by WebCrypto, for signatures as people make them: r ‖ s or DER, either s.

import { concat } from "./bytes.js";

const RAW_BYTES = 64;
const KEYS_KEPT_MAX = 256;
const imported = new Map();

/** Whether `signature` over `bytes` fits the 65-byte `publicKey`. Never raises on bad bytes. */
export async function verify(publicKey, signature, bytes) {
  try {
    const key = await loaded(publicKey);
    const rs = signature.length === RAW_BYTES ? signature : fromDer(signature);
    return await crypto.subtle.verify({ name: "ECDSA", hash: "SHA-256" }, key, rs, bytes);
  } catch {
    return false;
  }
}

/** Whether these are the 65 bytes of a point on the curve. */
export async function isPoint(publicKey) {
  try {
    await loaded(publicKey);
    return true;
  } catch {
    return false;
  }
}

function loaded(publicKey) {
  if (publicKey.length !== 65 || publicKey[0] !== 4) throw new TypeError("not an uncompressed point");
  const name = publicKey.join();
  if (!imported.has(name)) {
    if (imported.size >= KEYS_KEPT_MAX) imported.clear();
    const curve = { name: "ECDSA", namedCurve: "P-256" };
    imported.set(name, crypto.subtle.importKey("raw", publicKey, curve, false, ["verify"]));
  }
  return imported.get(name);
}

/** r ‖ s of a strict DER SEQUENCE of two positive INTEGERs. */
function fromDer(der) {
  if (der[0] !== 0x30 || der[1] !== der.length - 2 || der.length > 72) throw new TypeError("not DER");
  const [r, next] = integerAt(der, 2);
  const [s, end] = integerAt(der, next);
  if (end !== der.length) throw new TypeError("not DER");
  return concat(r, s);
}

function integerAt(der, at) {
  const length = der[at + 1];
  const value = der.slice(at + 2, at + 2 + length);
  const minimal = value.length === length && length > 0 && !(value[0] & 0x80) && !(length > 1 && !value[0] && !(value[1] & 0x80));
  if (der[at] !== 2 || !minimal) throw new TypeError("not DER");
  const digits = value[0] ? value : value.slice(1);
  if (digits.length > 32) throw new TypeError("not DER");
  return [concat(new Uint8Array(32 - digits.length), digits), at + 2 + length];
}
