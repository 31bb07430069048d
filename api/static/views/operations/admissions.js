// Who waits for an operator's decision at the CA: the operator signs it with its key, and the CA issues or refuses.

import { h, table } from "../../lib/dom.js";
import { fromBase64, toBase64, toHex, utf8 } from "../../lib/bytes.js";
import { filePicker } from "../../parts/file.js";
import { derOf } from "../../parts/inputs.js";

const REASON_CHARS_MAX = 200;
/** Answers of a network whose CA cannot be asked by operators here. */
const SILENT = new Set([403, 404, 405, 421, 501]);

/** Those who wait, the oldest first; null where no CA tells, or the operator's certificate is not at hand. */
export async function waitingOf(context) {
  try {
    const certificate = await certificateOf(context);
    if (!certificate) return null;
    const time_ms = Date.now();
    const proof = await proven(context, `wattquorum/1 waiting\n${issuerOf(certificate)}\n${time_ms}`);
    return (await context.api.post("/v1/registrations/waiting", { certificate, time_ms, proof })).waiting;
  } catch (error) {
    if (SILENT.has(error.status)) return null;
    throw error;
  }
}

/** The operator's certificate (DER, base64): the one that its registration brought, or the one it has loaded. */
async function certificateOf({ api, identity }) {
  const { certificate, registration } = identity.get().profile;
  if (certificate || !registration) return certificate;
  return (await api.ask(`/v1/registrations/${registration}`, { open: true })).certificate;
}

/** The identifier (hex) of the CA that issued a certificate (DER, base64): for it the operator's words are meant. */
export function issuerOf(certificate) {
  const found = /^(?:..)*?0603551d23041830168014((?:..){20})/.exec(toHex(fromBase64(certificate))); // AuthorityKeyIdentifier
  return found ? found[1] : "";
}

const proven = async ({ identity }, text) => toBase64(await identity.get().sign(utf8(text)));

export function admissionsCard(view) {
  const { context: { t, format, identity }, state: { waiting } } = view;
  if (waiting === null) return identity.get().profile.certificate || !view.mayGovern ? null : askingCard(view);
  const columns = [
    { label: t("users.name") }, { label: t("users.organisation") }, { label: t("users.role") }, { label: t("admissions.since") },
    { label: t("users.signer") }, { label: "" },
  ];
  const rows = waiting.map((each) => [
    each.name, each.organisation, t(`role.${each.role}`), format.dateTime(each.time_ms), h("code", { title: each.signer }, format.short(each.signer)),
    h("div", { class: "row" },
      view.button("admissions.approve", `approve-${each.registration}`, () => decision(view.context, each, "approve"), { style: "primary" }),
      view.button("admissions.refuse", `refuse-${each.registration}`, () => decision(view.context, each, "refuse"))),
  ]);
  return h("section", { class: "card" }, h("h2", {}, t("admissions.title")), table(t("admissions.title"), columns, rows, t("admissions.none")));
}

/** The CA knows operators by their certificates. */
function askingCard(view) {
  const { context: { t, identity, notify } } = view;
  const file = h("input", { type: "file", accept: ".crt,.pem", dataset: { key: "certificate" }, on: { async change() {
    const certificate = derOf(await file.files[0].text());
    if (certificate === "") return notify(t("admissions.nocertificate"), "bad");
    await identity.describe({ certificate });
    return view.following.now();
  } } });
  file.id = "admissions-certificate";
  return h("section", { class: "card" }, h("h2", {}, t("admissions.title")), filePicker(t("admissions.certificate"), file, t("admissions.certificate.hint")));
}

/** A panel that decides: `verdict` is approve or refuse. */
function decision(context, who, verdict) {
  const { t } = context;
  const refusing = verdict === "refuse";
  return {
    title: t(`admissions.${verdict}.title`, { name: who.name }),
    danger: refusing,
    done: t(`admissions.${verdict}.done`),
    fields: refusing ? [{ name: "reason", label: t("field.reason"), kind: "reason", most: REASON_CHARS_MAX }] : [],
    quote: ({ reason = "" }) => ({
      facts: [[t("users.organisation"), who.organisation], [t("users.role"), t(`role.${who.role}`)], [t("users.signer"), who.signer]],
      next: t(`admissions.${verdict}.next`),
      call: { registration: who.registration, verdict, reason },
    }),
    async send({ registration, reason }, progress) {
      progress("signing");
      const time_ms = Date.now();
      const certificate = await certificateOf(context);
      const text = ["wattquorum/1 decide", issuerOf(certificate), registration, verdict, time_ms, reason].join("\n");
      const proof = await proven(context, text);
      const body = { certificate, registration, verdict, reason, time_ms, proof };
      return { outcome: await context.api.post("/v1/registrations/decisions", body), verified: null };
    },
  };
}
