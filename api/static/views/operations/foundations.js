// What the network stands on: its contracts and their versions, CA roots, conditions of admission.

import { facts, h, table } from "../../lib/dom.js";
import * as foundations from "../../acts/foundations.js";

export const foundationCards = (view) => ({ contracts: contracts(view), roots: roots(view), admission: admission(view) });

function contracts(view) {
  const { context, context: { t, format }, state } = view;
  const columns = [{ label: t("field.contract") }, { label: t("contracts.version"), number: true }, { label: t("contracts.hash") }, { label: t("contracts.next") }, { label: "" }];
  const rows = state.contracts.map((each) => {
    const next = state.upgrades.find((upgrade) => upgrade.contract === each.name);
    return [
      each.name, String(each.version), h("code", { title: each.sha256 }, format.short(each.sha256)),
      next ? t("contracts.pending", { version: next.version, height: format.count(next.at_height) }) : "",
      next
        ? view.button("gov.cancelupgrade.short", `cancel-upgrade-${each.name}`, () => foundations.cancelUpgrade(context, state, each))
        : view.button("contracts.upgrade", `upgrade-${each.name}`, () => foundations.upgrade(context, state, each)),
    ];
  });
  return h("section", { class: "card" },
    h("header", {}, h("h2", {}, t("contracts.title")), view.button("gov.deploy", "deploy", () => foundations.deploy(context, state), { style: "" })),
    table(t("contracts.title"), columns, rows, ""));
}

function roots(view) {
  const { context, context: { t }, state } = view;
  const columns = [{ label: t("roots.fingerprint") }, { label: "" }];
  const rows = state.roots.map(({ name }) => [
    h("code", {}, name),
    state.roots.length > 1 && view.button("network.remove", `remove-root-${name}`, () => foundations.removeRoot(context, state, name)),
  ]);
  return h("section", { class: "card" },
    h("header", {}, h("h2", {}, t("roots.title")), view.button("gov.addroot", "add-root", () => foundations.addRoot(context, state), { style: "" })),
    h("p", { class: "hint" }, t("roots.hint")), table(t("roots.title"), columns, rows, ""));
}

function admission(view) {
  const { context, context: { t, format }, state } = view;
  const rule = state.admission;
  const any = (list) => (list.length > 0 ? list.join(", ") : t("admission.any"));
  return h("section", { class: "card" },
    h("header", {}, h("h2", {}, t("admission.title")), view.button("network.change", "admission", () => foundations.setAdmission(context, state), { style: "" })),
    rule === null ? h("p", { class: "soft" }, t("admission.none")) : facts([
      [t("users.organisation"), any(rule.organisations)], [t("users.role"), any(rule.roles)], [t("field.zones"), any(rule.zones)],
      [t("field.capacity.most"), format.power(rule.capacity_max_w)],
    ]));
}
