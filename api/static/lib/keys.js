// The person's key: P-256, made in this browser. It leaves it only once, as a backup under a passphrase, and is then
// kept not extractable in IndexedDB: code on this page can use it, nobody can read it.

import { fromBase64, sha256, toBase64, toHex, utf8 } from "./bytes.js";
import { store } from "./store.js";

const CURVE = { name: "ECDSA", namedCurve: "P-256" };
const SIGNING = { name: "ECDSA", hash: "SHA-256" };
const KEPT = "identity";
const FORMAT = "wattquorum/1 key backup";
export const ITERATIONS = 600_000;
const ITERATIONS_MAX = 10_000_000;
export const PASSPHRASE_CHARS_MIN = 12;

/** Why keys cannot be made here: "insecure" (plain HTTP beyond loopback), "unsupported", or "" if they can. */
export function obstacle() {
  if (!globalThis.isSecureContext) return "insecure";
  return globalThis.crypto?.subtle && globalThis.indexedDB ? "" : "unsupported";
}

export class BackupInvalid extends Error {
  /** `code`: BACKUP_MALFORMED, or PASSPHRASE_WRONG (or the file was changed, which looks the same). */
  constructor(code) {
    super(code);
    this.code = code;
  }
}

/** A key as the page uses it: `publicKey` is its 65-byte point, `signer` that point's hash. */
class Key {
  constructor(kept) {
    Object.assign(this, { signer: kept.signer, publicKey: kept.publicKey, profile: kept.profile ?? {} });
    this.publicKeyText = toBase64(kept.publicKey);
    this.#private = kept.privateKey;
  }

  #private;

  /** The 64-byte signature r ‖ s over `bytes`. */
  async sign(bytes) {
    return new Uint8Array(await crypto.subtle.sign(SIGNING, this.#private, bytes));
  }
}

/** A key that was just made or restored. It can still be backed up; once kept it no longer can. */
class FreshKey {
  constructor(privateKey, publicKey, signer) {
    Object.assign(this, { publicKey, signer });
    this.#private = privateKey;
  }

  #private;

  /** The backup file's text. */
  async backup(passphrase) {
    const salt = crypto.getRandomValues(new Uint8Array(16));
    const iv = crypto.getRandomValues(new Uint8Array(12));
    const secret = await crypto.subtle.exportKey("pkcs8", this.#private);
    const wrapping = await stretched(passphrase, salt, ITERATIONS);
    const about = { name: "AES-GCM", iv, additionalData: utf8(this.signer) };
    const data = new Uint8Array(await crypto.subtle.encrypt(about, wrapping, secret));
    return JSON.stringify({
      format: FORMAT,
      signer: this.signer,
      public_key: toBase64(this.publicKey),
      kdf: { name: "PBKDF2", hash: "SHA-256", iterations: ITERATIONS, salt: toBase64(salt) },
      cipher: { name: "AES-GCM", iv: toBase64(iv) },
      data: toBase64(data),
    }, null, 1) + "\n";
  }

  /** Keep it in this browser, not extractable, and forget the extractable one. */
  async keep(profile = {}) {
    const secret = await crypto.subtle.exportKey("pkcs8", this.#private);
    const privateKey = await crypto.subtle.importKey("pkcs8", secret, CURVE, false, ["sign"]);
    new Uint8Array(secret).fill(0);
    this.#private = privateKey;
    const kept = { privateKey, publicKey: this.publicKey, signer: this.signer, profile };
    await store.put(KEPT, kept);
    return new Key(kept);
  }
}

async function stretched(passphrase, salt, iterations) {
  const base = await crypto.subtle.importKey("raw", utf8(passphrase.normalize("NFKC")), "PBKDF2", false, ["deriveKey"]);
  const how = { name: "PBKDF2", hash: "SHA-256", salt, iterations };
  return crypto.subtle.deriveKey(how, base, { name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]);
}

export const keys = {
  obstacle,

  async create() {
    const pair = await crypto.subtle.generateKey(CURVE, true, ["sign", "verify"]);
    const point = new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey));
    return new FreshKey(pair.privateKey, point, toHex(await sha256(point)));
  },

  /** A fresh key from a backup file's text; raises `BackupInvalid`. */
  async restore(text, passphrase) {
    const { salt, iv, data, signer, publicKey, iterations } = read(text);
    let secret;
    try {
      const wrapping = await stretched(passphrase, salt, iterations);
      secret = await crypto.subtle.decrypt({ name: "AES-GCM", iv, additionalData: utf8(signer) }, wrapping, data);
    } catch {
      throw new BackupInvalid("PASSPHRASE_WRONG");
    }
    try {
      if (toHex(await sha256(publicKey)) !== signer) throw new TypeError("another key");
      const privateKey = await crypto.subtle.importKey("pkcs8", secret, CURVE, true, ["sign"]);
      await checkPair(privateKey, publicKey);
      return new FreshKey(privateKey, publicKey, signer);
    } catch {
      throw new BackupInvalid("BACKUP_MALFORMED");
    }
  },

  /** The kept key, or null. */
  async load() {
    if (obstacle()) return null;
    const kept = await store.get(KEPT);
    return kept ? new Key(kept) : null;
  },

  /** Keep what the person has told about itself (name, role, registration) beside the key. */
  async describe(profile) {
    const kept = await store.get(KEPT);
    kept.profile = { ...kept.profile, ...profile };
    await store.put(KEPT, kept);
    return new Key(kept);
  },

  forget: () => store.remove(KEPT),
};

function read(text) {
  try {
    const file = JSON.parse(text);
    const { iterations } = file.kdf;
    const known = file.format === FORMAT && file.kdf.name === "PBKDF2" && file.kdf.hash === "SHA-256";
    if (!known || file.cipher.name !== "AES-GCM") throw new TypeError("another format");
    if (!Number.isInteger(iterations) || iterations < ITERATIONS || iterations > ITERATIONS_MAX) throw new TypeError("kdf");
    if (typeof file.signer !== "string") throw new TypeError("signer");
    return {
      salt: fromBase64(file.kdf.salt), iv: fromBase64(file.cipher.iv), data: fromBase64(file.data),
      signer: file.signer, publicKey: fromBase64(file.public_key), iterations,
    };
  } catch {
    throw new BackupInvalid("BACKUP_MALFORMED");
  }
}

async function checkPair(privateKey, publicKey) {
  const words = utf8(FORMAT);
  const signature = await crypto.subtle.sign(SIGNING, privateKey, words);
  const point = await crypto.subtle.importKey("raw", publicKey, CURVE, true, ["verify"]);
  if (!(await crypto.subtle.verify(SIGNING, point, signature, words))) throw new TypeError("not a pair");
}
