// An admission code is shown to the authority and never sent: its name there, and the code under a mask that fits one
// applicant and one role only. Whoever passes that on can use neither (ca/codes.py, docs/ENROLMENT.md).

import { sha256, toBase64, toHex, utf8 } from "./bytes.js";

const HMAC = { name: "HMAC", hash: "SHA-256" };

/** `{code_id, code_proof}` of an application for `facts` = {signer, name, organisation, role}; empty without a code. */
export async function shown(code, facts) {
  if (!code) return { code_id: "", code_proof: "" };
  const hash = await sha256(utf8("wattquorum/1 admission "), utf8(code));
  return {
    code_id: toHex(await sha256(utf8("wattquorum/1 code id "), hash)),
    code_proof: toBase64(masked(utf8(code), await mask(hash, facts))),
  };
}

async function mask(hash, { signer, name, organisation, role }) {
  const key = await crypto.subtle.importKey("raw", hash, HMAC, false, ["sign"]);
  const text = ["wattquorum/1 code", signer, name, organisation, role].join("\n");
  return new Uint8Array(await crypto.subtle.sign("HMAC", key, utf8(text)));
}

/** No longer than the mask: a longer text is no code, and its name is unknown. */
const masked = (code, bytes) => code.slice(0, bytes.length).map((byte, index) => byte ^ bytes[index]);
