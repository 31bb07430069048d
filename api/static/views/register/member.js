// Somebody who is registered: who it is to the network, until when, with which meters; renewal; leaving this browser.

import { toBase64, utf8 } from "../../lib/bytes.js";
import { facts, fill, h, table } from "../../lib/dom.js";
import { dateTime, power, short } from "../../lib/format.js";
import { has, sentence, t } from "../../lib/i18n.js";
import { keys } from "../../lib/keys.js";

/** Who has meters, or misses them. */
const TRADERS = new Set(["seller", "buyer", "prosumer"]);

/** What is signed to ask for the next certificate (ca/messages.py). */
const renewalText = (serial) => `wattquorum/1 renew\n${serial}`;

export async function member(place, context) {
  const { identity } = context;
  const { user } = identity;
  const meters = await identity.meters();
  fill(place, expiry(context), h("div", { class: "grid" },
    h("section", { class: "card" }, h("header", {}, h("h2", {}, user.name), h("span", { class: `chip ${user.suspended ? "bad" : "good"}` },
      t(user.suspended ? "register.suspended" : "register.registered"))),
    facts([
      [t("register.organisation"), user.organisation], [t("register.role"), roleName(user.role)],
      [t("register.since"), t("shell.block", { height: user.registered_height })],
      [t("register.until"), dateTime(user.not_after_ms)],
      [t("register.serial"), h("span", { class: "mono" }, short(user.serial, 10))],
    ]),
    identifier(context, user.signer)),
    (meters.length > 0 || TRADERS.has(user.role)) && h("section", { class: "card" }, h("h2", {}, t("register.meters")), meters.length ? table(t("register.meters"), [
      { label: t("register.meter") }, { label: t("register.zone") }, { label: t("register.capacity"), number: true },
    ], meters.map((meter) => [meter.meter, meter.zone, power(meter.capacity_w)]), "")
      : h("div", { class: "notice" }, h("p", {}, t("register.meters.none")), h("p", { class: "hint" }, t("register.meters.tell")))),
    h("section", { class: "card" }, h("h2", {}, t("register.device")), h("p", {}, t("register.device.about")),
      h("div", {}, h("button", { class: "danger", type: "button", on: { click: () => leaving(context) } }, t("register.forget"))))));
}

export const roleName = (role) => (has(`register.role.${role}`) ? t(`register.role.${role}`) : role);

function identifier({ notify }, signer) {
  return h("div", { class: "field" }, h("span", { class: "hint" }, t("register.signer")), h("code", {}, signer),
    h("div", {}, h("button", { type: "button", on: { click: async () => {
      await navigator.clipboard.writeText(signer);
      notify(t("shell.copied"), "good");
    } } }, t("shell.copy"))));
}

/** What is said of a certificate that ends soon, with the way to the next one. */
function expiry(context) {
  const warning = context.identity.warning();
  if (warning === null) return null;
  const said = h("p", { role: "alert" });
  const renewing = h("button", { type: "button", on: { click: async () => {
    renewing.disabled = true;
    try {
      await renew(context);
      context.notify(t("register.renewed"), "good");
      await context.flow.next(true);
    } catch (error) {
      renewing.disabled = false;
      fill(said, sentence(error));
    }
  } } }, t("register.renew"));
  const days = Math.max(1, context.identity.daysLeft());
  return h("section", { class: `notice ${warning === 30 ? "warn" : "bad"}`, dataset: { expiry: warning } },
    h("strong", {}, t(warning === "expired" ? "register.expired" : "register.expires", { days })),
    h("p", {}, t(warning === "expired" ? "register.expired.about" : "register.expires.about")), said,
    warning !== "expired" && h("div", {}, renewing));
}

async function renew({ api, identity, invoke }) {
  const { serial } = identity.user;
  const proof = toBase64(await identity.get().sign(utf8(renewalText(serial))));
  const { certificate } = await api.post("/v1/renewals", { serial, proof }, { open: true });
  await invoke("registry", "register", { certificate_der: certificate });
  await identity.refresh();
}

function leaving({ identity, flow }) {
  const dialog = h("dialog", { "aria-labelledby": "forget-title" }, h("div", { class: "stack" },
    h("h2", { id: "forget-title" }, t("register.forget")), h("p", {}, t("register.forget.about")),
    h("div", { class: "row" },
      h("button", { class: "danger", type: "button", on: { click: async () => {
        await keys.forget();
        await identity.set(null);
        dialog.close();
        await flow.next(true);
      } } }, t("register.forget.do")),
      h("button", { type: "button", on: { click: () => dialog.close() } }, t("shell.cancel")))));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
