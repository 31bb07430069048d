// Long tables: the first rows, and all of them for who asks.

import { h } from "../lib/dom.js";

const SHOWN_FIRST = 12;

/** The rows that a view shows under a name, and the button for the others (null if there are none). */
export function more(view, name, rows) {
  view.unfolded ??= new Set();
  if (rows.length <= SHOWN_FIRST || view.unfolded.has(name)) return { rows, button: null };
  const unfold = () => {
    view.unfolded.add(name);
    view.show();
  };
  const said = view.context.t("shell.all", { count: view.context.format.count(rows.length) });
  return { rows: rows.slice(0, SHOWN_FIRST), button: h("div", {}, h("button", { type: "button", dataset: { key: `all-${name}` }, on: { click: unfold } }, said)) };
}
