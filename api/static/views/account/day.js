// A day's quarter-hours: metered, contracted, delivered, settled, in pictures and rows, with a sentence for each.

import { facts, field, h, table } from "../../lib/dom.js";
import { chart } from "../../lib/charts.js";
import { drawn } from "../../parts/memo.js";
import { more } from "../../parts/more.js";
import { completenessPercent } from "../../rules/history.js";
import { INTERVAL_MS } from "../../rules/terms.js";

export function dayCard(view) {
  const { context: { t, format }, state: { day, rows, status, intervals } } = view;
  const step = (days, label, text, key) => h("button", { type: "button", "aria-label": label, dataset: { key }, on: { click: () => view.chooseDay(format.dayAfter(day, days)) } }, text);
  const input = h("input", { type: "date", id: "account-day", value: day, dataset: { key: "day" }, on: { change: (event) => event.target.value && view.chooseDay(event.target.value) } });
  const sum = (name) => rows.reduce((total, row) => total + (row[name] ?? 0), 0);
  const money = (name) => rows.reduce((total, row) => total + row[name], 0n);
  const provisional = rows.some((row) => row.provisional);
  return h("section", { class: "card" },
    h("header", {}, h("h2", {}, format.day(intervals[0] * INTERVAL_MS)), mark(t, provisional, rows.length > 0)),
    h("div", { class: "row picker" }, step(-1, t("market.day.before"), "‹", "day-before"), field(t("account.day"), input), step(1, t("market.day.after"), "›", "day-after")),
    facts([
      [t("account.exported"), format.energy(sum("export_wh"))], [t("account.imported"), format.energy(sum("import_wh"))],
      [t("account.sold"), format.energy(sum("delivered_sold_wh"))], [t("account.bought"), format.energy(sum("delivered_bought_wh"))],
      [t("account.earned"), format.money(money("earned"))], [t("account.paid"), format.money(money("paid"))],
      [t("account.complete"), `${completenessPercent(rows, status.block_time_ms)} %`],
    ]),
    h("p", { class: "hint" }, t("account.zone", { zone: format.currentZone(), count: intervals.length })));
}

/** Provisional or final. */
export function mark(t, provisional, any = true) {
  if (!any) return null;
  return h("span", { class: `chip ${provisional ? "warn" : "good"}` }, t(provisional ? "mark.provisional" : "mark.final"));
}

export function energyCard(view) {
  const { context: { t, format }, state: { rows, intervals } } = view;
  if (rows.length === 0) return null;
  view.energy ??= {};
  const at = (row) => row.interval * INTERVAL_MS;
  return drawn(view.energy, [rows.map((row) => [row.interval, row.export_wh, row.import_wh, row.sold_wh, row.bought_wh, row.delivered_sold_wh, row.delivered_bought_wh]), format.currentZone(), t("account.energy")], () => h("section", { class: "card" },
    h("h2", {}, t("account.energy")),
    chart({
      title: t("account.energy"), desc: t("account.energy.desc"),
      series: [
        { name: t("account.contracted"), kind: "bar", colour: 3, points: rows.map((row) => [at(row), row.sold_wh + row.bought_wh]) },
        { name: t("account.delivered"), kind: "bar", colour: 0, points: rows.map((row) => [at(row), row.delivered_sold_wh + row.delivered_bought_wh]) },
        { name: t("account.exported"), kind: "step", colour: 2, points: gapped(rows, "export_wh") },
        { name: t("account.imported"), kind: "step", colour: 1, dashed: true, points: gapped(rows, "import_wh") },
      ],
      x: axis(format, intervals), y: { label: "Wh", format: format.count },
    })));
}

export function moneyCard(view) {
  const { context: { t, format }, state: { rows, intervals } } = view;
  if (!rows.some((row) => row.earned !== 0n || row.paid !== 0n)) return null;
  view.money ??= {};
  const points = (name) => rows.map((row) => [row.interval * INTERVAL_MS, Number(row[name])]);
  return drawn(view.money, [points("earned"), points("paid"), format.currentZone(), t("account.money")], () => h("section", { class: "card" },
    h("h2", {}, t("account.money")),
    chart({
      title: t("account.money"),
      series: [{ name: t("account.earned"), kind: "bar", colour: 0, points: points("earned") }, { name: t("account.paid"), kind: "bar", colour: 1, points: points("paid") }],
      x: axis(format, intervals), y: { format: (value) => format.money(Math.round(value)) }, height: 220,
    })));
}

const axis = (format, intervals) => ({ isTime: true, format: format.clock, from: intervals[0] * INTERVAL_MS, to: (intervals.at(-1) + 1) * INTERVAL_MS, step: INTERVAL_MS });

/** A line is broken where an interval has no reading. */
function gapped(rows, name) {
  const points = [];
  for (const row of rows) {
    const before = points.at(-1);
    if (before && before[0] + INTERVAL_MS < row.interval * INTERVAL_MS) points.push([before[0] + INTERVAL_MS, null]);
    points.push([row.interval * INTERVAL_MS, row[name]]);
  }
  return points;
}

export function rowsCard(view) {
  const { context: { t, format }, state: { rows } } = view;
  const columns = [
    { label: t("fact.interval"), wide: true }, { label: t("account.exported"), number: true }, { label: t("account.imported"), number: true },
    { label: t("account.contracted"), number: true }, { label: t("account.delivered"), number: true }, { label: t("account.earned"), number: true },
    { label: t("account.paid"), number: true }, { label: t("market.state") }, { label: t("account.why"), wide: true },
  ];
  const energy = (value) => (value === null ? "–" : format.energy(value));
  const amount = (value) => (value === 0n ? "–" : format.money(value, 6));
  const shown = more(view, "rows", rows.toReversed());
  const cells = shown.rows.map((row) => [
    format.intervalLabel(row.interval), energy(row.export_wh), energy(row.import_wh), energy(row.sold_wh + row.bought_wh),
    energy(row.delivered_sold_wh + row.delivered_bought_wh), amount(row.earned), amount(row.paid),
    row.trades.length > 0 ? mark(t, row.provisional) : "", h("span", { class: "wrap" }, row.why.map((why) => sentenceOf(view.context, why)).join(" ")),
  ]);
  return h("section", { class: "card" }, h("h2", {}, t("account.rows")), table(t("account.rows"), columns, cells, t("account.rows.none")), shown.button);
}

const MONEY = new Set(["penalty"]);

/** Why an interval came out so, in words. */
export function sentenceOf({ t, format }, { key, params }) {
  const said = Object.entries(params).map(([name, value]) => [name, typeof value === "string" ? value : MONEY.has(name) ? format.money(value) : value === null ? "–" : format.energy(value)]);
  return t(key, Object.fromEntries(said));
}
