// How each kind of form field is read: what a person typed becomes what goes into a transaction, or null.

import { parseMoney } from "../lib/format.js";

const SIGNER = /^[0-9a-f]{64}$/;
const wholeOf = (text) => (/^\d{1,15}$/.test(text.trim()) ? Number(text.trim()) : null);
const positive = (value) => (value !== null && value > 0 ? value : null);

const listOf = (text) => text.split(",").map((each) => each.trim()).filter((each) => each !== "");

/** "2026-06-21 14:00" in UTC, or nothing for 0, in ms. */
function momentOf(text) {
  if (text.trim() === "") return 0;
  const found = /^(\d{4}-\d{2}-\d{2})[ T](\d{2}:\d{2})$/.exec(text.trim());
  const ms = found === null ? NaN : Date.parse(`${found[1]}T${found[2]}:00Z`);
  return Number.isNaN(ms) ? null : ms;
}

const PEM = /-----BEGIN CERTIFICATE-----([\s\S]+?)-----END CERTIFICATE-----/;

/** The DER in a PEM file's text, in base64; "" if there is none. */
export const derOf = (pem) => (PEM.exec(pem)?.[1] ?? "").replace(/\s/g, "");

const signersOf = (text) => {
  const found = listOf(text);
  return found.every((each) => SIGNER.test(each)) ? found : null;
};

/** By kind: `read(text)`, the on-screen keyboard's `mode`, and whether the field has several lines. */
export const readers = {
  energy: { read: (text) => positive(wholeOf(text)), mode: "numeric" },
  whole: { read: wholeOf, mode: "numeric" },
  money: { read: (text) => positive(parseMoney(text)), mode: "decimal" },
  amount: { read: parseMoney, mode: "decimal" },
  signer: { read: (text) => (SIGNER.test(text.trim()) ? text.trim() : null), mode: "text" },
  text: { read: (text) => text.trim() || null, mode: "text" },
  optional: { read: (text) => text.trim(), mode: "text" },
  reason: { read: (text) => text.trim() || null, mode: "text", multiline: true },
  long: { read: (text) => text.trim() || null, mode: "text", multiline: true },
  source: { read: (text) => (text.trim() === "" ? null : text), mode: "text", multiline: true },
  certificate: { read: (text) => derOf(text) || null, mode: "text", multiline: true },
  signers: { read: signersOf, mode: "text", multiline: true },
  contract: { read: (text) => (/^[a-z][a-z0-9_]{0,31}$/.test(text.trim()) ? text.trim() : null), mode: "text" },
  moment: { read: momentOf, mode: "text" },
  list: { read: (text) => listOf(text), mode: "text" },
  choice: { read: (text) => text, mode: "text" },
};

/** Micro-currency as a person would type it. */
export const typed = (micro) => String(Number(micro) / 1_000_000);
