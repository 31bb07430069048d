// What the members decide together: validators, parameters, grid fees and products, organisations, revocations.

import { facts, h, table } from "../../lib/dom.js";
import * as governance from "../../acts/governance.js";

export const networkCards = (view) => ({
  validators: validators(view), parameters: parameters(view), fees: fees(view), organisations: organisations(view), revocations: revocations(view),
});

function validators(view) {
  const { context, context: { t, format }, state } = view;
  const { status, epoch } = state;
  const known = new Map(status.peers.map((peer) => [peer.name, peer]));
  const columns = [{ label: t("field.node") }, { label: t("field.address") }, { label: t("network.lag"), number: true }, { label: t("market.state") }, { label: "" }];
  const rows = status.validators.map((each) => {
    const peer = known.get(each.name);
    const lag = peer === undefined ? 0 : Math.max(0, status.executed_height - peer.executed_height);
    const up = peer === undefined || peer.connected;
    return [
      each.name + (each.name === status.primary ? ` · ${t("network.primary")}` : ""), h("code", {}, each.address), format.count(lag),
      h("span", { class: `chip dot ${up ? "good" : "bad"}` }, t(up ? "network.connected" : "network.away")),
      view.button("network.remove", `remove-${each.name}`, () => governance.setValidators(context, state, { without: each.name })),
    ];
  });
  return h("section", { class: "card" },
    h("header", {}, h("h2", {}, t("network.validators", { epoch: status.epoch })), view.button("gov.addvalidator", "add-validator", () => governance.setValidators(context, state), { style: "" })),
    epoch?.next && h("div", { class: "notice warn" }, h("p", {}, t("network.pending", { boundary: format.count(epoch.next.boundary), names: epoch.next.epoch.validators.map((each) => each.name).join(", ") })),
      h("div", { class: "row" }, view.button("gov.cancelchange", "cancel-change", () => governance.cancelChange(context, state)))),
    table(t("network.validators", { epoch: status.epoch }), columns, rows, ""));
}

function parameters(view) {
  const { context, context: { t }, state } = view;
  const columns = [{ label: t("network.parameter"), wide: true }, { label: t("network.value"), number: true }, { label: t("network.meaning"), wide: true }, { label: "" }];
  const rows = Object.entries(state.terms.parameters).map(([name, value]) => [
    h("code", {}, name), String(value), h("span", { class: "wrap" }, t(`parameter.${name}`)),
    view.button("network.change", `parameter-${name}`, () => governance.setParameter(context, state, name)),
  ]);
  return h("section", { class: "card" }, h("h2", {}, t("network.parameters")), table(t("network.parameters"), columns, rows, ""));
}

function fees(view) {
  const { context, context: { t, format }, state } = view;
  const { grid_fees: known, products } = state.terms;
  const columns = [{ label: t("field.zone.from") }, { label: t("field.zone.to") }, { label: t("field.fee"), number: true }, { label: t("field.fee.from") }, { label: "" }];
  const rows = known.map((fee) => [
    fee.from_zone, fee.to_zone, format.price(fee.fee), fee.from_ms > state.status.block_time_ms ? format.dateTime(fee.from_ms) : t("network.now"),
    view.button("network.change", `fee-${fee.from_zone}-${fee.to_zone}`, () => governance.setGridFee(context, state, fee)),
  ]);
  const kinds = [{ label: t("field.product") }, { label: t("field.zones") }, { label: t("field.mechanism") }, { label: t("field.fee"), number: true }, { label: "" }];
  const groups = products.map((each) => [
    each.name, each.zones.join(", "), each.mechanism, format.price(each.grid_fee),
    view.button("network.change", `product-${each.name}`, () => governance.setProduct(context, state, each)),
  ]);
  return h("section", { class: "card" },
    h("header", {}, h("h2", {}, t("network.fees")), h("div", { class: "row" },
      view.button("gov.gridfee", "fee", () => governance.setGridFee(context, state), { style: "" }), view.button("gov.product", "product", () => governance.setProduct(context, state), { style: "" }))),
    table(t("network.fees"), columns, rows, t("network.fees.none")), table(t("network.products"), kinds, groups, t("network.products.none")));
}

function organisations(view) {
  const { context, context: { t }, state } = view;
  const { terms, arbiter } = state;
  return h("section", { class: "card" },
    h("header", {}, h("h2", {}, t("network.consent")), h("div", { class: "row" },
      view.button("gov.organisations", "organisations", () => governance.setOrganisations(context, state), { style: "" }), view.button("gov.arbiter", "arbiter", () => governance.setArbiter(context, state), { style: "" }))),
    facts([
      [t("field.organisations"), terms.organisations.join(", ")], [t("field.threshold"), t("network.of", { threshold: terms.threshold, count: terms.organisations.length })],
      [t("register.role.arbiter"), arbiter === null ? t("network.noarbiter") : view.nameOf(arbiter.signer)],
    ]));
}

function revocations(view) {
  const { context: { t, format }, state } = view;
  if (state.revocations.length === 0) return null;
  const columns = [{ label: t("network.serial") }, { label: t("network.height"), number: true }, { label: t("field.reason") }];
  const rows = state.revocations.map((each) => [h("code", {}, each.serial), format.count(each.height), h("span", { class: "wrap" }, each.reason)]);
  return h("section", { class: "card" }, h("h2", {}, t("network.revocations")), table(t("network.revocations"), columns, rows, ""));
}
