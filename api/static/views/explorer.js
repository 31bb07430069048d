// The explorer: the chain as this page has verified it, the replicas, the consensus as it happens, and whom the page trusts.

import { fill, h } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { block } from "./explorer/block.js";
import { find } from "./explorer/find.js";
import { overview } from "./explorer/overview.js";
import { transaction } from "./explorer/transaction.js";
import { trusting } from "./explorer/trusting.js";

export const path = "/explorer";
export const titleKey = "explorer.title";

const SCREENS = { block, find, tx: transaction, trust: trusting };

export async function render(root, context) {
  const [screen, ...given] = context.rest;
  if (!screen) return overview(root, context);
  const back = h("p", {}, h("a", { href: "#/explorer" }, `← ${t("explorer.title")}`));
  const place = h("div", { class: "stack" });
  fill(root, h("div", { class: "stack" }, back, place));
  if (screen in SCREENS) return SCREENS[screen](place, context, ...given);
  return fill(place, h("h1", {}, t("shell.nowhere.title"))) && undefined;
}
