// Acts of operators. Those that a single operator may do are signed and sent at once; those that take several operators, or
// operators of several organisations, become proposals, signed by this operator first.

import { propose } from "../parts/proposals.js";
import { typed } from "../parts/inputs.js";

const REASON = 200;

/** A panel whose call one operator signs alone. */
function alone(title, fields, callOf, next, danger = false) {
  return { title, fields, danger, quote: (values) => ({ next, facts: factsOf(fields, values), call: callOf(values) }) };
}

/** A panel that makes a proposal for `needed` signers: this operator and the chosen others. */
export function proposal(context, state, title, fields, callOf, { needed = state.terms.threshold, problemOf = () => "" } = {}) {
  const { t } = context;
  const choices = Array.from({ length: Math.max(0, needed - 1) }, (_, index) => signerField(t, state, index));
  const all = [...fields, ...choices];
  return {
    title,
    fields: all,
    done: t("proposal.made"),
    quote(values) {
      const others = choices.map((each) => values[each.name]);
      const given = Object.fromEntries(fields.map(({ name }) => [name, values[name]])); // who signs is no argument
      const lacking = others.some((each) => each === "") || new Set(others).size < others.length;
      return {
        facts: factsOf(fields, values),
        next: t(needed > 1 ? "proposal.next" : "proposal.next.alone", { count: needed }),
        problem: lacking ? t("proposal.lacking", { count: needed }) : problemOf(given),
        call: { call: callOf(given), others },
      };
    },
    send: (given, progress) => propose(context, given, progress),
  };
}

function signerField(t, { person, users }, index) {
  const others = users.filter((user) => user.role === "operator" && user.signer !== person.signer && !user.suspended);
  const options = others.map((user) => [user.signer, `${user.name} · ${user.organisation}`]);
  return { name: `other${index}`, label: t("proposal.other", { number: index + 2 }), kind: "choice", value: options[index]?.[0], options };
}

const factsOf = (fields, values) => fields.filter((each) => each.shown).map((each) => [each.label, String(each.shown(values[each.name]))]);

// --------------------------------------------------------------------------------------------------- users, meters

export function suspend({ t }, user) {
  const fields = [{ name: "reason", label: t("field.reason"), kind: "reason", most: REASON }];
  return alone(t("gov.suspend", { name: user.name }), fields, ({ reason }) => ["registry", "suspend", { user: user.signer, reason }], t("gov.suspend.next"), true);
}

export const resume = ({ t }, user) =>
  alone(t("gov.resume", { name: user.name }), [], () => ["registry", "resume", { user: user.signer }], t("gov.resume.next"));

export function suspendMeter({ t }, meter) {
  const fields = [{ name: "reason", label: t("field.reason"), kind: "reason", most: REASON }];
  return alone(t("gov.suspendmeter", { meter: meter.meter }), fields, ({ reason }) => ["registry", "suspend_meter", { meter: meter.meter, reason }], t("gov.suspendmeter.next"), true);
}

export const resumeMeter = ({ t }, meter) =>
  alone(t("gov.resumemeter", { meter: meter.meter }), [], () => ["registry", "resume_meter", { meter: meter.meter }], t("gov.resumemeter.next"));

/** Bind a meter, or bind it anew. */
export function bindMeter({ t }, { users }, meter = null) {
  const named = (roles) => users.filter((user) => roles.includes(user.role)).map((user) => [user.signer, `${user.name} · ${user.organisation}`]);
  const fields = [
    { name: "meter", label: t("field.serial"), kind: "text", value: meter?.meter ?? "" },
    { name: "owner", label: t("field.owner"), kind: "choice", options: named(["seller", "buyer", "prosumer"]), value: meter?.owner },
    { name: "zone", label: t("field.zone"), kind: "text", value: meter?.zone ?? "" },
    { name: "capacity_w", label: t("field.capacity"), kind: "energy", value: meter?.capacity_w ?? "" },
    { name: "gateway", label: t("field.gateway"), kind: "choice", options: named(["gateway"]), value: meter?.gateway },
  ];
  return alone(t("gov.bind"), fields, (values) => ["registry", "bind_meter", values], t("gov.bind.next"));
}

/** `how`: deposit or withdraw; two operators sign. */
export function cash(context, state, how, user = null) {
  const { t, format } = context;
  const accounts = state.users.filter((each) => ["seller", "buyer", "prosumer"].includes(each.role)).map((each) => [each.signer, `${each.name} · ${each.organisation}`]);
  const fields = [
    { name: "account", label: t("field.account"), kind: "choice", options: [...accounts, ["balancing", "balancing"], ["grid", "grid"]], value: user?.signer },
    { name: "amount", label: t("field.amount"), kind: "money", shown: (value) => format.money(value) },
  ];
  return proposal(context, state, t(`gov.${how}`), fields, (values) => ["credit", how, values], { needed: 2 });
}

// -------------------------------------------------------------------------------------------------------- consent

export function revoke(context, state, user) {
  const { t } = context;
  const fields = [{ name: "reason", label: t("field.reason"), kind: "reason", most: REASON }];
  return { danger: true, ...proposal(context, state, t("gov.revoke", { name: user.name }), fields, ({ reason }) => ["governance", "revoke", { serial: user.serial, reason }]) };
}

export function setParameter(context, state, name) {
  const { t } = context;
  const fields = [{ name: "value", label: name, kind: "whole", value: state.terms.parameters[name], hint: t(`parameter.${name}`) }];
  return proposal(context, state, t("gov.parameter"), fields, ({ value }) => ["governance", "set_parameter", { name, value }]);
}

export function setGridFee(context, state, known = null) {
  const { t } = context;
  const fields = [
    { name: "from_zone", label: t("field.zone.from"), kind: "text", value: known?.from_zone ?? "" },
    { name: "to_zone", label: t("field.zone.to"), kind: "text", value: known?.to_zone ?? "" },
    { name: "fee", label: t("field.fee"), kind: "amount", value: known ? typed(known.fee) : "" },
    { name: "from", label: t("field.fee.from"), kind: "moment", hint: t("field.fee.hint"), value: "" },
  ];
  return proposal(context, state, t("gov.gridfee"), fields, ({ from, ...values }) => ["governance", "set_grid_fee", { ...values, from_ms: from }]);
}

export function setProduct(context, state, known = null) {
  const { t } = context;
  const fields = [
    { name: "name", label: t("field.product"), kind: "text", value: known?.name ?? "" },
    { name: "zones", label: t("field.zones"), kind: "list", value: (known?.zones ?? []).join(", "), hint: t("field.list.hint") },
    { name: "mechanism", label: t("field.mechanism"), kind: "text", value: known?.mechanism ?? "continuous", hint: t("field.mechanism.hint") },
    { name: "grid_fee", label: t("field.fee"), kind: "amount", value: typed(known?.grid_fee ?? 0) },
    { name: "ties", label: t("auction.ties"), kind: "choice", options: ["time", "pro rata"].map((each) => [each, t(`auction.ties.${each}`)]), value: known?.ties ?? "time" },
  ];
  return proposal(context, state, t("gov.product"), fields, (values) => ["governance", "set_product", values]);
}

export function setOrganisations(context, state) {
  const { t } = context;
  const fields = [
    { name: "names", label: t("field.organisations"), kind: "list", value: state.terms.organisations.join(", "), hint: t("field.list.hint") },
    { name: "threshold", label: t("field.threshold"), kind: "energy", value: state.terms.threshold },
  ];
  return proposal(context, state, t("gov.organisations"), fields, (values) => ["governance", "set_organisations", values]);
}

export function setArbiter(context, state) {
  const { t } = context;
  const options = state.users.filter((user) => user.role === "arbiter").map((user) => [user.signer, `${user.name} · ${user.organisation}`]);
  const fields = [{ name: "user", label: t("role.arbiter"), kind: "choice", options, value: options[0]?.[0] }];
  return proposal(context, state, t("gov.arbiter"), fields, ({ user }) => ["registry", "set_arbiter", { user }], { problemOf: ({ user }) => (user === "" ? t("gov.arbiter.none") : "") });
}

/** Other validators: the present ones without one, or with one more. `at_height` 0: as soon as may be. */
export function setValidators(context, state, { without = null } = {}) {
  const { t } = context;
  const { status } = state;
  const kept = status.validators.filter((each) => each.name !== without).map(({ name, public_key, address }) => ({ name, public_key, address }));
  const fields = without !== null ? [] : [
    { name: "name", label: t("field.node"), kind: "text" },
    { name: "public_key", label: t("field.key"), kind: "text", hint: t("field.key.hint") },
    { name: "address", label: t("field.address"), kind: "text", hint: t("field.address.hint") },
  ];
  const title = without === null ? t("gov.addvalidator") : t("gov.removevalidator", { name: without });
  return {
    danger: without !== null,
    ...proposal(context, state, title, fields, (values) => {
      const validators = without === null ? [...kept, { name: values.name, public_key: values.public_key, address: values.address }] : kept;
      const first_primary = Math.max(0, validators.findIndex((each) => each.name === status.primary));
      return ["governance", "set_validators", { validators, first_primary, at_height: 0 }];
    }, { problemOf: () => (kept.length < 4 && without !== null ? t("gov.fewvalidators") : "") }),
  };
}

export const cancelChange = (context, state) =>
  proposal(context, state, context.t("gov.cancelchange"), [], () => ["governance", "cancel_change", {}]);
