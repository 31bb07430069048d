// Choosing a file: the browser's own button speaks the browser's language, this one the page's.

import { fill, h, uid } from "../lib/dom.js";
import { t } from "../lib/i18n.js";

/** A labelled field round `input` (type file); the name of what was chosen stands beside its button. */
export function filePicker(label, input, hint = "") {
  input.id ||= uid("file");
  input.classList.add("sr-only");
  input.setAttribute("aria-label", label);
  const name = h("span", { class: "soft" }, t("shell.file.none"));
  input.addEventListener("change", () => fill(name, input.files[0]?.name ?? t("shell.file.none")));
  return h("div", { class: "field" }, h("span", { class: "label" }, label),
    h("div", { class: "file" }, input, h("label", { class: "button", for: input.id }, t("shell.file.choose")), name),
    hint && h("p", { class: "hint" }, hint));
}
