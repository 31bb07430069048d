// Proposals under way: what each would do, who has signed, who has not; to sign, to pass on, to submit.

import { facts, field, fill, h } from "../../lib/dom.js";
import { filePicker } from "../../parts/file.js";
import { drop, envelopeOf, keep, leave, proposals, textOf } from "../../parts/proposals.js";
import { argumentsOf } from "./arguments.js";

/** `evenNone`: also where nothing is under way. */
export async function proposalsCard(view, { evenNone = true } = {}) {
  const { context: { t } } = view;
  const shown = await Promise.all((await proposals(view.context)).map((envelope) => proposalOf(view, envelope)));
  if (shown.length === 0 && !evenNone) return null;
  return h("section", { class: "card" }, h("header", {}, h("h2", {}, t("proposal.title")),
    evenNone && h("button", { type: "button", dataset: { key: "import" }, on: { click: () => importing(view) } }, t("proposal.import"))),
  h("p", { class: "hint" }, t("proposal.hint")),
  shown.length > 0 ? h("div", { class: "stack" }, shown) : h("p", { class: "soft" }, t("proposal.none")));
}

async function proposalOf(view, envelope) {
  const { context, context: { t, format, sentence }, person } = view;
  let found;
  try {
    found = await context.signer.inspect(envelope);
  } catch (error) {
    return h("div", { class: "notice bad" }, h("p", {}, sentence(error)), discard(view, envelope));
  }
  const { payload, missing } = found;
  const args = await argumentsOf(view, payload);
  const left = payload.expires_at_height - context.status.get().executed_height;
  const signers = payload.signers.map((signer) => h("li", {},
    h("span", { class: `chip ${missing.includes(signer) ? "" : "good"}` }, t(missing.includes(signer) ? "proposal.missing" : "proposal.signed")), " ", view.nameOf(signer)));
  return h("article", { class: "notice proposal", "aria-label": t(`call.${payload.contract}.${payload.function}`) },
    h("strong", {}, t(`call.${payload.contract}.${payload.function}`)),
    facts(args),
    h("ul", { class: "signers" }, signers),
    missing.length > 0 && h("p", { class: "hint" }, t(envelope.waits ? "proposal.waits" : "proposal.kept")),
    h("p", { class: "hint" }, left > 0 ? t("proposal.expires", { height: format.count(payload.expires_at_height), left: format.count(left) }) : t("proposal.expired")),
    h("div", { class: "row" },
      missing.includes(person.signer) && step(view, "sign", payload, () => sign(view, envelope), "primary"),
      missing.length === 0 && step(view, "submit", payload, () => submit(view, envelope), "primary"),
      missing.length > 0 && !envelope.waits && step(view, "leave", payload, () => leave(context, envelope)),
      missing.length > 0 && step(view, "copy", payload, async () => { await navigator.clipboard.writeText(textOf(envelope)); context.notify(t("shell.copied"), "good"); }),
      missing.length > 0 && step(view, "save", payload, () => save(envelope, payload)),
      discard(view, envelope)));
}

function step(view, name, payload, made, style = "") {
  const button = h("button", { type: "button", class: style, dataset: { key: `${name}-${payload.signers[0]}-${payload.nonce}` } }, view.context.t(`proposal.${name}`));
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await made();
      view.following.now();
    } catch (error) {
      view.context.notify(view.context.sentence(error), "bad");
    }
    button.disabled = false;
  });
  return button;
}

async function sign({ context }, envelope) {
  const signed = await keep(await context.cosign(envelope));
  if (envelope.waits) await leave(context, signed);
}

async function submit(view, envelope) {
  await view.context.signer.submit({ payload: envelope.payload, signatures: envelope.signatures });
  await drop(view.context, envelope);
  view.context.notify(view.context.t("proposal.done"), "good");
}

function save(envelope, payload) {
  const address = URL.createObjectURL(new Blob([textOf(envelope)], { type: "application/json" }));
  h("a", { href: address, download: `proposal-${payload.function}-${payload.nonce}.json` }).click();
  URL.revokeObjectURL(address);
}

function discard(view, envelope) {
  const { context: { t } } = view;
  return h("button", { type: "button", class: "quiet", on: { async click() {
    await drop(view.context, envelope).catch((error) => view.context.notify(view.context.sentence(error), "bad"));
    view.following.now();
  } } }, t("proposal.discard"));
}

/** Take in what another operator has sent: its text, or its file. */
export function importing(view) {
  const { context, context: { t, sentence } } = view;
  const text = h("textarea", { rows: 8, name: "proposal", spellcheck: "false" });
  const file = h("input", { type: "file", accept: "application/json,.json" });
  const wrong = h("p", { class: "bad", role: "alert" });
  const dialog = h("dialog", { "aria-label": t("proposal.import") }, h("form", { on: { submit: take } }, h("h2", {}, t("proposal.import")),
    field(t("proposal.text"), text), filePicker(t("proposal.file"), file), wrong,
    h("div", { class: "row" }, h("button", { type: "submit", class: "primary" }, t("proposal.take")),
      h("button", { type: "button", on: { click: () => dialog.close() } }, t("shell.cancel")))));
  file.addEventListener("change", async () => { text.value = await file.files[0].text(); });
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();

  async function take(event) {
    event.preventDefault();
    const envelope = envelopeOf(text.value);
    try {
      if (envelope === null) throw new Error(t("problem.ENVELOPE_MALFORMED"));
      await context.signer.inspect(envelope);
      await keep(envelope);
      dialog.close();
      view.following.now();
    } catch (error) {
      fill(wrong, sentence(error));
    }
  }
}
