// The explorer: this node, its replicas, the newest blocks.

import { facts, fill, h, table } from "../lib/dom.js";
import { count, dateTime, short } from "../lib/format.js";
import { t } from "../lib/i18n.js";

export const path = "/explorer";
export const titleKey = "explorer.title";

const BLOCKS_SHOWN = 12;

export async function render(root, { api, status, stream }) {
  const node = h("section", { class: "card" });
  const blocks = h("section", { class: "card wide" });
  fill(root, h("div", { class: "head" }, h("h1", {}, t(titleKey))), h("div", { class: "stack" }, node, blocks));
  const { headers } = await api.ask(`/v1/headers?limit=${BLOCKS_SHOWN}`, { open: true });
  const newest = headers.toReversed();
  const showNode = (now) => now && fill(node, h("h2", {}, t("explorer.node")), facts([
    [t("explorer.view"), String(now.view)], [t("explorer.primary"), now.primary],
    [t("explorer.executed"), count(now.executed_height)], [t("explorer.certified"), count(now.certified_height)],
  ]));
  const showBlocks = () => fill(blocks, h("h2", {}, t("explorer.blocks")), table(t("explorer.blocks"), [
    { label: t("explorer.height"), number: true }, { label: t("explorer.time") },
    { label: t("explorer.transactions"), number: true }, { label: t("explorer.proposer") }, { label: t("explorer.hash") },
  ], newest.map((header) => [count(header.height), dateTime(header.time_ms), count(header.transactions), header.proposer,
    h("span", { class: "mono" }, short(header.hash))]), t("explorer.none")));
  showNode(status.get());
  showBlocks();
  const unwatch = status.watch(showNode);
  const unsubscribe = stream(["blocks"], ({ data }) => {
    newest.unshift(data);
    newest.splice(BLOCKS_SHOWN);
    showBlocks();
  }, { open: true });
  return () => {
    unwatch();
    unsubscribe();
  };
}
