// One's own quarter-hours: metered, contracted, delivered and settled, and a sentence for each that says why.

import { big } from "./money.js";
import { adjustmentGain, paidGain } from "./settlement.js";
import { INTERVAL_MS } from "./terms.js";

const USABLE = ["good", "estimated"];
const METERED = ["proposed", "overdue", "disputed", "settled"];

export const isUsable = (reading) => reading !== undefined && USABLE.includes(reading.quality);

/** What a trade delivered by the latest reading, adjustments included, in Wh; null before it is metered. */
export function deliveredWh(trade, adjustments) {
  if (!METERED.includes(trade.status)) return null;
  const last = adjustments.filter((each) => each.trade === trade.id).sort((a, b) => a.number - b.number).at(-1);
  return last === undefined ? trade.delivered_wh : last.after_wh;
}

/** What a trade has moved on one's account so far; null while nothing is settled. */
export function settledGain(trade, adjustments, disputes, side) {
  if (!["settled", "disputed"].includes(trade.status)) return null;
  const later = adjustments.filter((each) => each.trade === trade.id && each.status === "settled");
  const own = paidGain(trade, disputes.filter((each) => each.trade === trade.id), side);
  return later.reduce((sum, each) => sum + adjustmentGain(each, side), own);
}

/** Final when it is settled on a good reading and nothing is open; a buyer does not see the seller's reading. */
export function isFinal(trade, adjustments, reading, side) {
  const open = adjustments.some((each) => each.trade === trade.id && !["settled", "void"].includes(each.status));
  return trade.status === "settled" && !open && (side === "buyer" || reading?.quality === "good");
}

/** Rows of the intervals from `first` to `last` in which anything happened, in order.

    A row: {interval, import_wh, export_wh (null: no reading), sold_wh, bought_wh, delivered_sold_wh,
    delivered_bought_wh, earned, paid (micro-currency, settled), trades, provisional, metered, why: [{key, params}]}. */
export function intervalRows({ signer, trades, adjustments, disputes, readings, first, last, nowMs }) {
  const rows = new Map();
  const row = (interval) => {
    if (!rows.has(interval)) rows.set(interval, emptyRow(interval));
    return rows.get(interval);
  };
  const read = new Map();
  for (const reading of readings) {
    if (reading.interval < first || reading.interval > last) continue;
    read.set(`${reading.meter}/${reading.interval}`, reading);
    addReading(row(reading.interval), reading);
  }
  for (const trade of trades) {
    if (trade.interval < first || trade.interval > last) continue;
    const reading = read.get(`${trade.meter}/${trade.interval}`);
    for (const side of sidesOf(trade, signer)) addTrade(row(trade.interval), trade, side, { adjustments, disputes, reading });
  }
  const found = [...rows.values()].sort((a, b) => a.interval - b.interval);
  for (const each of found) each.why = reasons(each, nowMs);
  return found;
}

/** The share of the rows that are over and that a usable reading tells, in percent. */
export function completenessPercent(rows, nowMs) {
  const over = rows.filter((row) => (row.interval + 1) * INTERVAL_MS <= nowMs);
  return over.length === 0 ? 100 : Math.floor((100 * over.filter((row) => row.metered).length) / over.length);
}

/** For how long no usable reading has come, in ms; null before the first one, and for a day that is over: `last` is its last
 * interval. */
export function silenceMs(rows, last, nowMs) {
  const metered = rows.filter((row) => row.metered).at(-1);
  const isOver = (last + 1) * INTERVAL_MS <= nowMs;
  return metered === undefined || isOver ? null : nowMs - (metered.interval + 1) * INTERVAL_MS;
}

function emptyRow(interval) {
  return {
    interval,
    import_wh: null,
    export_wh: null,
    sold_wh: 0,
    bought_wh: 0,
    delivered_sold_wh: 0,
    delivered_bought_wh: 0,
    earned: 0n,
    paid: 0n,
    trades: [],
    qualities: [],
    metered: false,
    provisional: false,
    why: [],
  };
}

function sidesOf(trade, signer) {
  return [trade.seller === signer ? "seller" : "", trade.buyer === signer ? "buyer" : ""].filter((side) => side !== "");
}

function addReading(row, reading) {
  row.qualities.push(reading.quality);
  if (!isUsable(reading)) return;
  row.metered = true;
  row.import_wh = (row.import_wh ?? 0) + reading.import_wh;
  row.export_wh = (row.export_wh ?? 0) + reading.export_wh;
}

function addTrade(row, trade, side, { adjustments, disputes, reading }) {
  const delivered = deliveredWh(trade, adjustments);
  const gain = settledGain(trade, adjustments, disputes, side);
  const bought = side === "buyer";
  row[bought ? "bought_wh" : "sold_wh"] += trade.energy_wh;
  row[bought ? "delivered_bought_wh" : "delivered_sold_wh"] += delivered ?? 0;
  if (gain !== null) row[bought ? "paid" : "earned"] += bought ? -gain : gain;
  const provisional = !isFinal(trade, adjustments, reading, side);
  row.trades.push({ trade, side, delivered, gain, provisional });
  row.provisional ||= provisional;
}

/** Why an interval came out as it did. */
function reasons(row, nowMs) {
  const over = (row.interval + 1) * INTERVAL_MS <= nowMs;
  const said = [];
  for (const side of ["seller", "buyer"]) {
    const trades = row.trades.filter((each) => each.side === side);
    if (trades.length > 0) said.push(reasonOf(row, trades, side, over));
  }
  if (said.length === 0) said.push(untraded(row));
  return said;
}

function reasonOf(row, trades, side, over) {
  const contracted = trades.reduce((sum, each) => sum + each.trade.energy_wh, 0);
  if (trades.some((each) => each.delivered === null)) {
    return { key: over ? `why.${side}.unread` : `why.${side}.ahead`, params: { contracted } };
  }
  const delivered = trades.reduce((sum, each) => sum + each.delivered, 0);
  const penalty = trades.reduce((sum, each) => sum + big(each.trade.penalty), 0n);
  const surplus = Math.max(0, (row.export_wh ?? 0) - contracted);
  const params = { contracted, delivered, missing: contracted - delivered, metered: row.export_wh, surplus, penalty };
  if (delivered === contracted) {
    const more = side === "seller" && row.export_wh !== null && row.export_wh > contracted;
    return { key: more ? "why.seller.surplus" : `why.${side}.whole`, params };
  }
  if (side === "seller" && !row.metered) return { key: "why.seller.unmetered", params };
  return { key: `why.${side}.short`, params };
}

function untraded(row) {
  if (!row.metered) return { key: "why.unusable", params: { quality: row.qualities.join(", ") } };
  return { key: "why.untraded", params: { imported: row.import_wh, exported: row.export_wh } };
}
