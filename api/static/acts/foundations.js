// What the network stands on, as proposals: contracts and their versions, CA roots, who is admitted.

import { short } from "../lib/format.js";
import { proposal } from "./governance.js";

/** Blocks ahead that an upgrade is proposed for: the others have to sign meanwhile. */
const UPGRADE_AHEAD_BLOCKS = 1_000;
/** What a meter's capacity may be where nothing else is said (contracts/shipped/registry.py). */
const CAPACITY_MAX_W = 1_000_000_000;
/** Roles that conditions are for; nodes and operators are always admitted. */
const ROLES = ["seller", "buyer", "prosumer", "gateway", "arbiter", "regulator"];

const sourceField = (t) => ({ name: "source", label: t("field.source"), kind: "source", accept: ".py", hint: t("field.source.hint") });

export function deploy(context, state) {
  const { t } = context;
  const fields = [{ name: "name", label: t("field.contract"), kind: "contract", hint: t("field.contract.hint") }, sourceField(t)];
  const problemOf = ({ name }) => (state.contracts.some((each) => each.name === name) ? t("gov.deploy.known") : "");
  return proposal(context, state, t("gov.deploy"), fields, (values) => ["governance", "deploy", values], { problemOf });
}

export function upgrade(context, state, { name, version }) {
  const { t, format } = context;
  const { executed_height: height } = state.status;
  const fields = [
    sourceField(t),
    { name: "at_height", label: t("field.atheight"), kind: "whole", value: height + UPGRADE_AHEAD_BLOCKS, hint: t("field.atheight.hint", { height: format.count(height) }) },
  ];
  const problemOf = ({ at_height }) => (at_height > height ? "" : t("gov.upgrade.past"));
  return proposal(context, state, t("gov.upgrade", { name, version: version + 1 }), fields, (values) => ["governance", "upgrade", { name, ...values }], { problemOf });
}

export const cancelUpgrade = (context, state, { name }) =>
  ({ danger: true, ...proposal(context, state, context.t("gov.cancelupgrade", { name }), [], () => ["governance", "cancel_upgrade", { name }]) });

export function addRoot(context, state) {
  const { t } = context;
  const fields = [{ name: "certificate_der", label: t("field.root"), kind: "certificate", accept: ".pem,.crt", hint: t("field.root.hint") }];
  return proposal(context, state, t("gov.addroot"), fields, (values) => ["governance", "add_root", values]);
}

export const removeRoot = (context, state, fingerprint) =>
  ({ danger: true, ...proposal(context, state, context.t("gov.removeroot", { root: short(fingerprint) }), [], () => ["governance", "remove_root", { fingerprint }]) });

/** Conditions of admission; an empty list demands nothing. */
export function setAdmission(context, state) {
  const { t } = context;
  const known = state.admission ?? { organisations: [], roles: [], zones: [], capacity_max_w: CAPACITY_MAX_W };
  const list = (name, label, hint) => ({ name, label, kind: "list", value: known[name].join(", "), hint });
  const fields = [
    list("organisations", t("users.organisation"), t("field.list.any")), list("roles", t("users.role"), t("field.roles.hint", { roles: ROLES.join(", ") })),
    list("zones", t("field.zones"), t("field.list.any")),
    { name: "capacity_max_w", label: t("field.capacity.most"), kind: "energy", value: known.capacity_max_w },
  ];
  const problemOf = ({ roles }) => (roles.every((each) => ROLES.includes(each)) ? "" : t("gov.admission.role"));
  return proposal(context, state, t("gov.admission"), fields, (values) => ["registry", "set_admission", values], { problemOf });
}
