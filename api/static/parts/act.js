// A confirmation panel: what is about to be signed, what it costs and holds, and what happens next. Nothing is signed
// before the person presses the button, and the panel stays until the receipt has verified or the refusal is told.

import { facts, field, fill, h, uid } from "../lib/dom.js";
import { filePicker } from "./file.js";
import { readers } from "./inputs.js";

/** Show a panel; resolves with {outcome, verified} when it is done, null when the person leaves it.

    `what`: {title, fields: [{name, label, kind, value, hint, options, accept: files whose text may fill it}], quote(values),
    danger?, done?, send?(call, progress)}. `quote` gives {facts: [[term, text]], held, freed (BigInt), next, call: [contract,
    function, args] or prepare(), problem?, assure?()}; `assure` raises if what was shown is not what is certified, and then nothing
    is signed. The quote is asked again at every change, once all fields can be read. Where there is one option only, it is told instead of
    asked for. `account`: {available, held}, or null where no money is held. */
export function act(context, what, account = null) {
  return new Promise((resolve) => {
    const panel = new Panel(context, what, account, resolve);
    document.body.append(panel.dialog);
    panel.dialog.showModal();
  });
}

class Panel {
  constructor(context, what, account, resolve) {
    Object.assign(this, { context, what, account, resolve, outcome: null, busy: false });
    const { t } = context;
    const title = h("h2", { id: uid("act") }, what.title);
    const fields = what.fields ?? [];
    this.settled = fields.filter((each) => each.options?.length === 1);
    this.inputs = fields.filter((each) => !this.settled.includes(each)).map((each) => ({ ...each, control: controlOf(each, () => this.requote()) }));
    this.told = h("div", { class: "stack", "aria-live": "polite" });
    this.state = h("div", { role: "status" });
    this.button = h("button", { type: "submit", class: what.danger ? "danger" : "primary" }, t("act.sign"));
    this.leave = h("button", { type: "button", on: { click: () => this.dialog.close() } }, t("act.leave"));
    const form = h("form", { novalidate: true, on: { submit: (event) => { event.preventDefault(); this.sign(); } } },
      title,
      this.inputs.map((each) => [each.accept && this.fileFor(each), field(each.label, each.control, each.hint)]),
      this.told, this.state, h("div", { class: "row" }, this.button, this.leave));
    this.dialog = h("dialog", { "aria-labelledby": title.id, class: "act" }, form);
    this.dialog.addEventListener("cancel", (event) => { if (this.busy) event.preventDefault(); });
    this.dialog.addEventListener("close", () => { this.dialog.remove(); resolve(this.outcome); });
    this.requote();
  }

  /** A file whose text goes into a field. */
  fileFor({ label, accept, control }) {
    const file = h("input", { type: "file", accept, on: { change: async () => {
      control.value = await file.files[0].text();
      this.requote();
    } } });
    return filePicker(this.context.t("act.file", { what: label }), file);
  }

  /** Say anew what it would cost. */
  requote() {
    const { t } = this.context;
    const values = Object.fromEntries(this.settled.map((each) => [each.name, each.options[0][0]]));
    for (const each of this.inputs) {
      values[each.name] = readers[each.kind].read(each.control.value);
      const wrong = values[each.name] === null && each.control.value !== "";
      each.control.setAttribute("aria-invalid", String(wrong));
    }
    const unread = this.inputs.some((each) => values[each.name] === null);
    this.quote = unread ? { problem: t("act.unread") } : this.what.quote(values);
    this.button.disabled = this.busy || Boolean(this.quote.problem) || !this.isCovered();
    fill(this.told,
      facts([...this.settled.map((each) => [each.label, each.options[0][1]]), ...(this.quote.facts ?? [])]),
      this.money(),
      this.quote.next && h("div", { class: "notice" }, h("strong", {}, t("act.next")), h("p", {}, this.quote.next)),
      this.quote.problem && h("p", { class: "warn" }, this.quote.problem));
  }

  net() {
    return (this.quote.held ?? 0n) - (this.quote.freed ?? 0n);
  }

  isCovered() {
    return !this.account || this.net() <= BigInt(this.account.available);
  }

  /** What goes from available to held, and what is left. */
  money() {
    const { t, format } = this.context;
    if (this.quote.held === undefined) return null;
    const after = this.account && BigInt(this.account.available) - this.net();
    const pairs = [[t("act.held"), format.money(this.quote.held)]];
    if (this.quote.freed > 0n) pairs.push([t("act.freed"), format.money(this.quote.freed)]);
    if (this.account) pairs.push([t("act.available"), format.money(this.account.available)]);
    if (this.account && this.isCovered()) pairs.push([t("act.after"), format.money(after)]);
    return h("div", { class: "sum" }, facts(pairs), this.isCovered() ? null : h("p", { class: "bad" }, t("act.uncovered")));
  }

  async sign() {
    if (this.button.disabled) return;
    const { t } = this.context;
    this.setBusy(true);
    const progress = (stage) => fill(this.state, h("p", { class: "notice" }, t(`act.stage.${stage}`)));
    try {
      this.outcome = await this.send(progress);
      this.dialog.close();
      this.context.notify(this.what.done ?? t(this.outcome.verified === null ? "proposal.made" : "act.done"), "good");
    } catch (error) {
      fill(this.state, h("p", { class: "notice bad" }, this.context.sentence(error)));
      this.setBusy(false);
    }
  }

  async send(progress) {
    await this.quote.assure?.();
    const call = await (this.quote.prepare?.() ?? this.quote.call);
    if (this.what.send) return this.what.send(call, progress);
    const [contract, name, args] = call;
    return this.context.invoke(contract, name, args, { progress });
  }

  setBusy(busy) {
    this.busy = busy;
    for (const { control } of this.inputs) control.disabled = busy;
    this.leave.disabled = busy;
    this.button.disabled = busy;
  }
}

function controlOf({ kind, value, options, ...rest }, changed) {
  const on = { input: changed, change: changed };
  if (options) {
    const made = options.map(([name, label]) => h("option", { value: name, selected: name === value }, label));
    return h("select", { on, name: rest.name }, made);
  }
  const { mode, multiline } = readers[kind];
  if (multiline) return h("textarea", { on, name: rest.name, rows: 3, maxlength: rest.most ?? false, value: value ?? "" });
  return h("input", { on, name: rest.name, inputmode: mode, autocomplete: "off", maxlength: rest.most ?? false, value: value ?? "" });
}
