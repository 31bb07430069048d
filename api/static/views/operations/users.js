// Everybody who is registered: role, organisation, how long the certificate lasts; to suspend, to resume, to revoke.

import { field, h, table } from "../../lib/dom.js";
import * as governance from "../../acts/governance.js";

const SHOWN_MAX = 200;
/** Those who trade first. */
const ROLES = ["prosumer", "seller", "buyer", "operator", "regulator", "arbiter", "gateway", "node"];
const SOON_MS = 30 * 86_400_000;

export function usersCard(view) {
  const { context, context: { t, format }, state, search } = view;
  const revoked = new Set(state.revocations.map((each) => each.serial));
  const wanted = search.trim().toLowerCase();
  const found = state.users.filter((user) => [user.name, user.organisation, user.role, user.signer, user.serial].some((text) => text.toLowerCase().includes(wanted)))
    .sort((one, other) => ROLES.indexOf(one.role) - ROLES.indexOf(other.role) || one.name.localeCompare(other.name));
  const columns = [
    { label: t("users.name") }, { label: t("users.organisation") }, { label: t("users.role") }, { label: t("users.valid") },
    { label: t("market.state") }, { label: t("users.signer") }, { label: "" },
  ];
  const rows = found.slice(0, SHOWN_MAX).map((user) => {
    const mine = user.signer === state.person.signer;
    const out = revoked.has(user.serial);
    return [
      user.name, user.organisation, t(`role.${user.role}`), validity(view, user), stateOf(t, user, out), h("code", { title: user.signer }, format.short(user.signer)),
      !mine && h("div", { class: "row" },
        user.suspended
          ? view.button("users.resume", `resume-${user.signer}`, () => governance.resume(context, user), { may: true })
          : view.button("users.suspend", `suspend-${user.signer}`, () => governance.suspend(context, user), { may: true }),
        !out && view.button("users.revoke", `revoke-${user.signer}`, () => governance.revoke(context, state, user)),
        ["seller", "buyer", "prosumer"].includes(user.role) && view.button("users.deposit", `deposit-${user.signer}`, () => governance.cash(context, state, "deposit", user))),
    ];
  });
  const input = h("input", { type: "search", id: "users-search", value: search, dataset: { key: "search" }, on: { input: (event) => { view.search = event.target.value; view.show(); } } });
  return h("section", { class: "card" },
    h("header", {}, h("h2", {}, t("users.title", { count: format.count(state.users.length) })),
      view.button("users.withdraw", "withdraw", () => governance.cash(context, state, "withdraw"))),
    field(t("users.search"), input), table(t("users.all"), columns, rows, t("users.none")));
}

function validity({ context: { t, format }, state: { status } }, user) {
  const left = user.not_after_ms - status.block_time_ms;
  const style = left < 0 ? "bad" : left < SOON_MS ? "warn" : "";
  return h("span", { class: style }, left < 0 ? t("users.expired") : format.relative(user.not_after_ms, status.block_time_ms));
}

function stateOf(t, user, revoked) {
  if (revoked) return h("span", { class: "chip bad" }, t("users.revoked"));
  return h("span", { class: `chip ${user.suspended ? "warn" : "good"}` }, t(user.suspended ? "users.suspended" : "users.active"));
}
