// A statement of a range of days, from the contract's own view: as a table to print, and as CSV to keep.

import { field, fill, h, table } from "../../lib/dom.js";
import { patiently } from "../../parts/documents.js";
import { csvOf } from "../../rules/csv.js";
import { textOf } from "../../rules/money.js";
import { paidGain } from "../../rules/settlement.js";
import { INTERVAL_MS } from "../../rules/terms.js";

const PAGE_ROWS = 40;
const PAGES_MAX = 250;
const DAYS_MAX = 366;

export function statementCard(view) {
  const { context: { t, format, sentence, notify }, state: { day } } = view;
  const from = h("input", { type: "date", id: "statement-from", value: format.dayAfter(day, -6) });
  const to = h("input", { type: "date", id: "statement-to", value: day });
  const place = h("div", { class: "stack", role: "status" });
  let made = null;
  const csv = h("button", { type: "button", disabled: true, on: { click: () => save(`statement-${made.from}-${made.to}.csv`, csvOf(linesOf(view, made))) } }, t("statement.csv"));
  const print = h("button", { type: "button", disabled: true, on: { click: () => window.print() } }, t("statement.print"));
  const make = h("button", { type: "submit", class: "primary" }, t("statement.make"));

  async function show(event) {
    event.preventDefault();
    make.disabled = true;
    try {
      made = await statementOf(view, from.value, to.value);
      fill(place, sheet(view, made));
      csv.disabled = print.disabled = false;
    } catch (error) {
      notify(sentence(error), "bad");
    }
    make.disabled = false;
  }

  return h("section", { class: "card sheet" }, h("h2", {}, t("statement.title")),
    h("form", { class: "row bottom noprint", on: { submit: show } }, field(t("statement.from"), from), field(t("statement.to"), to), make, csv, print), place);
}

/** {from, to, rows, complete: percent, provisional}; raises for days in the wrong order or too many of them. */
async function statementOf({ context: { api, format, t }, state: { person } }, from, to) {
  if (!from || !to || from > to || format.dayAfter(from, DAYS_MAX) < to) throw new Error(t("statement.range"));
  const args = { party: person.signer, first_interval: format.intervalsOfDay(from)[0], last_interval: format.intervalsOfDay(to).at(-1), after: "", limit: PAGE_ROWS };
  const rows = [];
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const { value } = await patiently(() => api.post("/v1/views", { contract: "settlement", function: "statement", args }));
    rows.push(...value.rows);
    if (value.next === "") return { from, to, rows, ...shareOf(rows) };
    args.after = value.next;
  }
  throw new Error(t("statement.long"));
}

function shareOf(rows) {
  const metered = rows.filter((row) => ["good", "estimated"].includes(row.quality)).length;
  return { complete: rows.length === 0 ? 100 : Math.floor((100 * metered) / rows.length), provisional: rows.filter((row) => row.provisional).length };
}

/** What a row has moved: its own settlement, and its settled adjustments, in micro-currency. */
function moved(row) {
  const settled = row.adjustments.filter((each) => each.status === "settled");
  return settled.reduce((sum, each) => sum + BigInt(each.gain), paidGain(row, row.disputes, row.side));
}

/** What of the amount is not the other party's: the market's fee and the penalty are the seller's. */
function deducted(row) {
  const own = row.side === "seller" ? BigInt(row.fee) + BigInt(row.penalty) : 0n;
  return BigInt(row.grid_amount) + own;
}

function sheet({ context: { t, format }, state: { person } }, { from, to, rows, complete, provisional }) {
  const columns = [
    { label: t("fact.interval") }, { label: t("settlement.as") }, { label: t("fact.contracted"), number: true }, { label: t("fact.delivered"), number: true },
    { label: t("fact.price"), number: true }, { label: t("fact.amount"), number: true }, { label: t("statement.fees"), number: true },
    { label: t("statement.moved"), number: true }, { label: t("market.state") }, { label: "" },
  ];
  const total = rows.reduce((sum, row) => sum + moved(row), 0n);
  const cells = rows.map((row) => [
    format.intervalLabel(row.interval, true), t(`settlement.${row.side}`), format.energy(row.energy_wh), format.energy(row.delivered_wh), format.price(row.price),
    format.money(row.amount), format.money(deducted(row)), format.money(moved(row)),
    t(`status.${row.status}`), t(row.provisional ? "mark.provisional" : "mark.final"),
  ]);
  return [
    h("p", {}, t("statement.of", { name: person.user.name, from, to, zone: format.currentZone() })),
    h("p", { class: "soft" }, t("statement.marks", { complete, provisional, rows: rows.length })),
    table(t("statement.title"), columns, cells, t("statement.none")),
    h("p", { class: "total" }, t("statement.total", { total: format.money(total) })),
  ];
}

function linesOf({ context: { format } }, { rows }) {
  const head = ["trade", "side", "interval", "start_utc", "start_local", "energy_wh", "delivered_wh", "price_per_kwh", "amount", "grid_amount", "fee", "penalty", "moved", "status", "quality", "provisional", "adjustments", "disputes"];
  return [head, ...rows.map((row) => [
    row.trade, row.side, row.interval, new Date(row.interval * INTERVAL_MS).toISOString(), format.dateTime(row.interval * INTERVAL_MS),
    row.energy_wh, row.delivered_wh, ...["price", "amount", "grid_amount", "fee", "penalty"].map((name) => textOf(row[name])), textOf(moved(row)),
    row.status, row.quality, row.provisional, row.adjustments.map((each) => `${each.adjustment} ${textOf(each.gain)} ${each.status}`).join("; "),
    row.disputes.map((each) => `${each.side} ${textOf(each.disputed)} ${each.status} ${textOf(each.paid)}`).join("; "),
  ])];
}

/** Give the person a file. The byte order mark tells spreadsheets that it is UTF-8. */
function save(name, text) {
  const address = URL.createObjectURL(new Blob(["\ufeff", text], { type: "text/csv;charset=utf-8" }));
  const link = h("a", { href: address, download: name });
  link.click();
  URL.revokeObjectURL(address);
}
