// Whose keys sign for the account, and paying out of it.

import { h } from "../../lib/dom.js";
import * as account from "../../acts/account.js";
import { importing } from "../operations/proposals.js";

export function signersCard(view) {
  const { context, context: { t, format }, state: { person, policy } } = view;
  if (!person.sells && !person.buys) return null;
  const button = (name, made, key) => h("button", { type: "button", dataset: { key }, on: { click: () => view.act(made(context, view.state)) } }, t(name));
  const said = policy === null ? t("signers.own") : t("signers.some", { threshold: policy.threshold, count: policy.keys.length });
  return h("section", { class: "card" }, h("h2", {}, t("signers.title")), h("p", { class: "soft" }, said),
    policy !== null && h("ul", { class: "signers" }, policy.keys.map((key) => h("li", {}, h("code", { title: key }, key === person.signer ? t("signers.you") : format.short(key))))),
    h("div", { class: "row" }, button("act.pay", account.pay, "pay"), button("signers.change", account.setPolicy, "policy"),
      h("button", { type: "button", dataset: { key: "take-in" }, on: { click: () => importing(view) } }, t("proposal.import"))));
}
