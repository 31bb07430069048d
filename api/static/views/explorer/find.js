// What 64 digits name: a block's hash, or a transaction.

import { fill, h } from "../../lib/dom.js";
import { t } from "../../lib/i18n.js";

export async function find(place, { api, go }, name) {
  for (const [path, screen] of [[`/v1/blocks/by-hash/${name}`, "block"], [`/v1/transactions/${name}`, "tx"]]) {
    try {
      await api.ask(path);
      return void go(`/explorer/${screen}/${name}`);
    } catch (error) {
      if (error.code !== "NOT_FOUND") throw error;
    }
  }
  return void fill(place, h("p", { class: "notice", role: "alert" }, t("explorer.find.unknown")));
}
