// The second step, which comes only once: the backup under a passphrase. Afterwards nobody can read the key any more.

import { field, fill, h } from "../../lib/dom.js";
import { short } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { PASSPHRASE_CHARS_MIN } from "../../lib/keys.js";

export function backup(place, { flow, identity }, fresh) {
  const passphrase = h("input", { type: "password", autocomplete: "new-password", required: true, minlength: PASSPHRASE_CHARS_MIN });
  const again = h("input", { type: "password", autocomplete: "new-password", required: true });
  const said = h("p", { class: "bad", role: "alert" });
  const save = h("button", { class: "primary", type: "submit" }, t("register.backup.do"));
  const onwards = h("button", { type: "button", disabled: true, on: { click: () => keep() } }, t("register.backup.next"));
  const without = h("button", { class: "link", type: "button", on: { click: () => confirm(t("register.backup.without.sure")) && keep() } },
    t("register.backup.without"));

  async function keep() {
    onwards.disabled = true;
    await identity.set(await fresh.keep());
    await flow.next(true);
  }

  async function download(event) {
    event.preventDefault();
    fill(said);
    for (const input of [passphrase, again]) input.removeAttribute("aria-invalid");
    if (passphrase.value.length < PASSPHRASE_CHARS_MIN) return refuse(passphrase, t("register.backup.short", { chars: PASSPHRASE_CHARS_MIN }));
    if (passphrase.value !== again.value) return refuse(again, t("register.backup.differ"));
    save.disabled = true;
    fill(save, t("register.backup.working"));
    offer(`wattquorum-key-${fresh.signer.slice(0, 8)}.json`, await fresh.backup(passphrase.value));
    fill(save, t("register.backup.again"));
    save.disabled = false;
    onwards.disabled = false;
    onwards.className = "primary";
    save.className = "";
    onwards.focus();
  }

  function refuse(input, text) {
    input.setAttribute("aria-invalid", "true");
    input.focus();
    fill(said, text);
  }

  fill(place, h("section", { class: "card" }, h("h2", {}, t("register.backup")), h("p", {}, t("register.backup.about")),
    h("p", { class: "notice warn" }, t("register.backup.once")),
    h("form", { novalidate: true, on: { submit: download } },
      field(t("register.passphrase"), passphrase, t("register.passphrase.hint", { chars: PASSPHRASE_CHARS_MIN })),
      field(t("register.passphrase.again"), again), said, h("div", { class: "row" }, save, onwards)),
    h("p", { class: "hint" }, t("register.signer"), " ", h("code", {}, short(fresh.signer, 12))), h("div", {}, without)));
  passphrase.focus();
}

/** Have the browser save a file. */
function offer(name, text) {
  const address = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  const link = h("a", { href: address, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
