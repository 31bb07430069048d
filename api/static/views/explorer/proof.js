// What the page has checked itself, step by step, or where a claim broke.

import { h } from "../../lib/dom.js";
import { count, short } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { obstacle } from "../../lib/keys.js";
import { NotProven } from "../../lib/verify.js";

/** A card that says what checking led to. `check()` gives what is proven; `steps(proven)` are the sentences to tick. */
export async function proofCard(title, check, steps) {
  const card = (kind, ...content) => h("section", { class: "card proof", dataset: { proof: kind } }, h("h2", {}, title), ...content);
  if (obstacle()) return card("none", h("p", { class: "notice warn" }, t("explorer.proof.insecure")));
  try {
    const proven = await check();
    const ticks = steps(proven).filter(Boolean).map((step) => h("li", {}, h("span", { class: "good", "aria-hidden": "true" }, "✓"), h("span", {}, step)));
    return card("good", h("p", { class: "notice good" }, h("strong", {}, t("explorer.proof.good"))), h("ul", { class: "ticks" }, ticks));
  } catch (error) {
    if (error instanceof NotProven) {
      return card("bad", h("p", { class: "notice bad", role: "alert" }, h("strong", {}, t("explorer.proof.bad")), h("span", {}, error.message)));
    }
    if (error.code !== "NOT_CERTIFIED_YET") throw error;
    return card("pending", h("p", { class: "notice" }, t("explorer.proof.pending")));
  }
}

/** The sentences that every certificate deserves. */
export const certifiedBy = (proven, trust) => [
  t("explorer.proof.certificate", { signers: proven.signers, validators: proven.validators, names: proven.names.join(", ") }),
  t("explorer.proof.genesis", { chain: short(trust.genesis.id), network: trust.genesis.network }),
];

export const blockLink = (height) => h("a", { href: `#/explorer/block/${height}` }, count(height));
