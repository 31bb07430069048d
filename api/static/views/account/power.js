// Live power of one's own meters: not from the chain, and said so.

import { facts, h } from "../../lib/dom.js";
import { silenceMs } from "../../rules/history.js";

const SILENT_MS = 7_200_000;

export function powerCard({ context: { t, format }, powers, state: { person, rows, status, intervals } }) {
  if (person === null || person.meters.length === 0) return null;
  const pairs = person.meters.map(({ meter }) => {
    const told = powers.get(meter);
    if (told === undefined) return [meter, t("power.waiting")];
    const params = { power: format.power(Math.abs(told.power_w)), time: format.clockSeconds(told.time_ms) };
    return [meter, t(told.power_w < 0 ? "power.out" : "power.in", params)];
  });
  const since = status === null || intervals === undefined ? null : silenceMs(rows, intervals.at(-1), status.block_time_ms);
  return h("section", { class: "card" }, h("h2", {}, t("power.title")), h("div", { class: "figure" }, facts(pairs)),
    since !== null && since > SILENT_MS && h("p", { class: "notice warn" }, t("power.silent")),
    h("p", { class: "hint" }, t("power.hint")));
}
