// One transaction of one's own: what was signed, what became of it, and the receipt, verified here.

import { facts, fill, h } from "../../lib/dom.js";
import { count, dateTime, short } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { NotProven, verifyReceipt } from "../../lib/verify.js";
import { blockLink, certifiedBy, proofCard } from "./proof.js";

export async function transaction(place, { api, trust }, id) {
  const told = await api.ask(`/v1/transactions/${encodeURIComponent(id)}`);
  let receipt = null;
  const proof = await proofCard(t("explorer.proof"), async () => {
    receipt = (await api.ask(`/v1/receipts/${told.tx_id}`)).proof;
    return trust.judge("receipt", async () => {
      const proven = await verifyReceipt(receipt, trust.genesis);
      if (proven.txId !== id) throw new NotProven("envelope", "the receipt is another transaction's");
      if (proven.code !== told.code || proven.height !== told.height) throw new NotProven("result proof", "the node tells another outcome than the receipt");
      return proven;
    });
  }, (proven) => [
    t("explorer.proof.signatures"), t("explorer.proof.transaction", { height: count(proven.height) }),
    t("explorer.proof.result", { code: proven.code }), ...(proven.executed ? [] : [t("explorer.proof.refused")]), ...certifiedBy(proven, trust),
  ]);
  const json = (value) => h("pre", { class: "mono", tabindex: 0 }, JSON.stringify(value, null, 2));
  fill(place, h("h1", {}, `${told.payload.contract}.${told.payload.function}`), proof,
    h("section", { class: "card" }, h("header", {}, h("h2", {}, t("explorer.outcome")), h("span", { class: `chip ${told.code === "OK" ? "good" : "bad"}` }, told.code)),
      facts([[t("explorer.block.in"), blockLink(told.height)], [t("explorer.time"), dateTime(told.time_ms)], [t("explorer.gas"), count(told.gas_used)],
        [t("explorer.signers"), told.payload.signers.map((signer) => h("div", { class: "mono" }, short(signer)))]]),
      told.message && h("p", {}, told.message), told.value !== null && json(told.value)),
    h("section", { class: "card" }, h("h2", {}, t("explorer.signed")), json(told.payload.args)),
    told.events.length > 0 && h("section", { class: "card" }, h("h2", {}, t("explorer.events")), told.events.map(([contract, name, data]) => h("details", {},
      h("summary", {}, `${contract}.${name}`), json(data)))),
    receipt && h("section", { class: "card" }, h("h2", {}, t("explorer.receipt")), h("p", {}, t("explorer.receipt.about")), h("div", {}, saving(told.tx_id, receipt))));
}

function saving(id, receipt) {
  const address = URL.createObjectURL(new Blob([JSON.stringify(receipt)], { type: "application/json" }));
  return h("a", { class: "button", href: address, download: `receipt-${id.slice(0, 12)}.json` }, t("explorer.receipt.save"));
}
