// What is said when the node did not answer as it should: a sentence, a button, and another try where one may help.

import { fill, h } from "../lib/dom.js";

const PATIENCE_MS = 3_000;
/** Answers that a busy node, or none, gives; another try is made without being asked for. */
const PASSING = new Set([0, 429, 500, 503, 504]);

/** Say it in `place`; `again()` tries again, at once by the button, and by itself where that may help. Returns how to stop. */
export function trouble(place, context, error, again) {
  const retry = () => {
    clearTimeout(timer);
    again();
  };
  fill(place, h("div", { class: "notice bad" }, h("p", {}, context.sentence(error)),
    h("div", { class: "row" }, h("button", { type: "button", on: { click: retry } }, context.t("shell.retry")))));
  const timer = PASSING.has(error.status) ? setTimeout(retry, PATIENCE_MS) : 0;
  return () => clearTimeout(timer);
}
