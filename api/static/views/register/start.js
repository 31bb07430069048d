// The first step: a new key, or the one of a backup.

import { field, fill, h } from "../../lib/dom.js";
import { t } from "../../lib/i18n.js";
import { keys } from "../../lib/keys.js";
import { filePicker } from "../../parts/file.js";

const BACKUP_BYTES_MAX = 16_384;

export function start(place, { flow, notify }) {
  const make = h("button", { class: "primary", type: "button", on: { click: async () => {
    make.disabled = true;
    await flow.got(await keys.create(), false);
  } } }, t("register.make"));
  fill(place, h("div", { class: "grid" },
    h("section", { class: "card" }, h("h2", {}, t("register.new")), h("p", {}, t("register.new.about")), h("div", {}, make)),
    h("section", { class: "card" }, h("h2", {}, t("register.restore")), h("p", {}, t("register.restore.about")), restoring(flow, notify))));
}

function restoring(flow, notify) {
  const file = h("input", { type: "file", id: "backup-file", accept: ".json,application/json", required: true });
  const passphrase = h("input", { type: "password", autocomplete: "current-password", required: true });
  const said = h("p", { class: "bad", role: "alert" });
  const button = h("button", { type: "submit" }, t("register.restore.do"));
  return h("form", { on: { submit: async (event) => {
    event.preventDefault();
    button.disabled = true;
    fill(said);
    try {
      const chosen = file.files[0];
      const text = chosen && chosen.size <= BACKUP_BYTES_MAX ? await chosen.text() : "";
      await flow.got(await keys.restore(text, passphrase.value), true);
      notify(t("register.restored"), "good");
    } catch (error) {
      fill(said, t(error.code ? `register.${error.code}` : "shell.failed"));
      button.disabled = false;
    }
  } } }, filePicker(t("register.file"), file), field(t("register.passphrase"), passphrase), said, h("div", {}, button));
}
