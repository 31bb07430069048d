// One block: what it holds, and its certificate, verified here.

import { facts, fill, h, table } from "../../lib/dom.js";
import { count, dateTime, short } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { certifiedBy, proofCard } from "./proof.js";

export async function block(place, { api, trust }, given) {
  const path = /^[0-9a-f]{64}$/.test(given) ? `by-hash/${given}` : String(Number(given));
  const { header, transactions, hidden, bookmark } = await api.ask(`/v1/blocks/${path}`);
  const proof = await proofCard(t("explorer.proof"), async () => {
    const told = await api.ask(`/v1/certificates/${header.height}`, { open: true });
    const proven = await trust.checkBlock(told.proof);
    trust.checkHeader(header);
    return proven;
  }, (proven) => [
    t("explorer.proof.header", { hash: short(proven.hash) }),
    proven.certifiedHeight !== proven.height && t("explorer.proof.later", { height: count(proven.certifiedHeight), blocks: proven.certifiedHeight - proven.height }),
    ...certifiedBy(proven, trust),
    proven.epoch > 0 && t("explorer.proof.epochs", { epochs: proven.epoch }),
  ]);
  const mono = (value) => h("span", { class: "mono" }, value ?? "–");
  fill(place, h("div", { class: "head" }, h("h1", {}, t("explorer.block", { height: count(header.height) })), h("div", { class: "row" },
    header.height > 1 && h("a", { class: "button", href: `#/explorer/block/${header.height - 1}` }, `‹ ${t("explorer.previous")}`),
    h("a", { class: "button", href: `#/explorer/block/${header.height + 1}` }, `${t("explorer.next")} ›`))),
  proof,
  h("section", { class: "card" }, h("h2", {}, t("explorer.header")), facts([
    [t("explorer.time"), dateTime(header.time_ms)], [t("explorer.proposer"), header.proposer],
    [t("explorer.view"), String(header.view)], [t("explorer.transactions"), count(header.transactions)],
  ]), h("dl", { class: "facts long" }, [["hash", header.hash], ["previous-hash", header.previous_hash], ["transaction-root", header.transaction_root],
    ["state-root", header.state_root]].map(([name, value]) => h("div", {}, h("dt", {}, t(`explorer.${name}`)), h("dd", {}, mono(value)))))),
  listing({ api, path }, header, transactions, hidden, bookmark));
}

function listing({ api, path }, header, transactions, hidden, bookmark) {
  const card = h("section", { class: "card" });
  const show = (shown, next) => fill(card, h("h2", {}, t("explorer.transactions")), table(t("explorer.transactions"), [
    { label: t("explorer.place"), number: true }, { label: t("explorer.call") }, { label: t("explorer.outcome") }, { label: t("explorer.id") },
  ], shown.map((each) => [count(each.index), `${each.payload.contract}.${each.payload.function}`,
    h("span", { class: each.code === "OK" ? "good" : "bad" }, each.code),
    h("a", { class: "mono", href: `#/explorer/tx/${each.tx_id}` }, short(each.tx_id))]),
  t(header.transactions ? "explorer.transactions.foreign" : "explorer.transactions.none")),
  hidden > 0 && shown.length > 0 && h("p", { class: "hint" }, t("explorer.hidden", { hidden: count(hidden) })),
  next && h("div", {}, h("button", { type: "button", on: { click: async () => {
    const page = await api.ask(`/v1/blocks/${path}?bookmark=${encodeURIComponent(next)}`);
    show([...shown, ...page.transactions], page.bookmark);
  } } }, t("explorer.more"))));
  return show(transactions, bookmark);
}
