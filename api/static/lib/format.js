// Numbers for people. Inside: Wh, micro-currency, UTC ms, and intervals of 900 s counted from 1970 (UTC seconds // 900).

import { locale } from "./i18n.js";

export const INTERVAL_MS = 900_000;
export const MICRO = 1_000_000;
const KEPT = "wattquorum.zone";
const DAY_SEARCH_MS = 16 * 3_600_000; // zones lie within -12:00 and +14:00 of UTC

let zone = globalThis.localStorage?.getItem(KEPT) || Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
const formatters = new Map();

function formatter(kind, name, options) {
  const id = JSON.stringify([kind.name, name, options]);
  if (!formatters.has(id)) formatters.set(id, new kind(name, options));
  return formatters.get(id);
}
const date = (options) => formatter(Intl.DateTimeFormat, locale(), { timeZone: zone, hourCycle: "h23", ...options });
const figure = (options) => formatter(Intl.NumberFormat, locale(), options);

export const currentZone = () => zone;

/** Show times in `name` (IANA) from now on; raises RangeError for no zone. */
export function setZone(name) {
  Intl.DateTimeFormat("en", { timeZone: name });
  zone = name;
  globalThis.localStorage?.setItem(KEPT, name);
}

// ------------------------------------------------------------------------------------------------- quantities

export const count = (value) => figure({ maximumFractionDigits: 0 }).format(value);

/** An amount in micro-currency (a number, or text from 2^53 on), in currency units. */
export function money(micro, digits = 2) {
  return figure({ minimumFractionDigits: digits, maximumFractionDigits: Math.max(digits, 6) }).format(Number(micro) / MICRO);
}

/** A price in micro-currency per kWh, in currency units per kWh. */
export const price = (micro) => figure({ minimumFractionDigits: 4, maximumFractionDigits: 6 }).format(Number(micro) / MICRO);

/** Energy in Wh, with its unit. */
export function energy(wh) {
  const large = Math.abs(wh) >= 10_000;
  return large ? `${figure({ maximumFractionDigits: 2 }).format(wh / 1000)} kWh` : `${count(wh)} Wh`;
}

/** Power in W, with its unit. */
export function power(w) {
  return Math.abs(w) >= 10_000 ? `${figure({ maximumFractionDigits: 2 }).format(w / 1000)} kW` : `${count(w)} W`;
}

/** Micro-currency from what a person typed ("0.125"); null if that is no amount, or finer than a millionth. */
export function parseMoney(text) {
  const match = /^(\d{1,9})(?:[.,](\d{1,6}))?$/.exec(text.trim());
  return match ? Number(match[1]) * MICRO + Number((match[2] ?? "").padEnd(6, "0")) : null;
}

/** A long identifier, shortened. */
export const short = (id, chars = 8) => (id.length > 2 * chars + 1 ? `${id.slice(0, chars)}…${id.slice(-4)}` : id);

// ------------------------------------------------------------------------------------------------------ times

export const dateTime = (ms) => date({ dateStyle: "medium", timeStyle: "medium" }).format(ms);
export const clock = (ms) => date({ hour: "2-digit", minute: "2-digit" }).format(ms);
export const clockSeconds = (ms) => date({ hour: "2-digit", minute: "2-digit", second: "2-digit" }).format(ms);
export const day = (ms) => date({ weekday: "short", day: "numeric", month: "short", year: "numeric" }).format(ms);

/** How long ago, or until, roughly. */
export function relative(ms, now = Date.now()) {
  const seconds = Math.round((ms - now) / 1000);
  const format = formatter(Intl.RelativeTimeFormat, locale(), { numeric: "auto" });
  for (const [unit, size] of [["day", 86_400], ["hour", 3_600], ["minute", 60]]) {
    if (Math.abs(seconds) >= size) return format.format(Math.round(seconds / size), unit);
  }
  return format.format(seconds, "second");
}

export const intervalAt = (ms) => Math.floor(ms / INTERVAL_MS);
export const intervalStart = (interval) => interval * INTERVAL_MS;

/** "14:15–14:30"; with the day before it if `withDay`. The hour that repeats in autumn has its offset beside it. */
export function intervalLabel(interval, withDay = false) {
  const start = intervalStart(interval);
  const repeats = clock(start) === clock(start - 3_600_000) || clock(start) === clock(start + 3_600_000);
  const hours = `${clock(start)}–${clock(start + INTERVAL_MS)}${repeats ? ` ${offsetName(start)}` : ""}`;
  return withDay ? `${day(start)}${locale().startsWith("zh") ? " " : ", "}${hours}` : hours;
}

function offsetName(ms) {
  return date({ timeZoneName: "shortOffset" }).formatToParts(ms).find((part) => part.type === "timeZoneName").value;
}

// ------------------------------------------------------------------------------------------------------- days

/** The zone's calendar day at `ms`, as "2026-03-29". */
export function dayOf(ms) {
  const parts = formatter(Intl.DateTimeFormat, "en-CA", { timeZone: zone, year: "numeric", month: "2-digit", day: "2-digit" });
  return parts.format(ms);
}

/** `day` moved by whole days. */
export function dayAfter(text, days = 1) {
  return new Date(Date.parse(`${text}T00:00:00Z`) + days * 86_400_000).toISOString().slice(0, 10);
}

/** When that day begins in the zone, in ms: its first quarter of an hour, even where midnight does not exist. */
export function startOfDay(text) {
  let low = Date.parse(`${text}T00:00:00Z`) - DAY_SEARCH_MS;
  let high = low + 2 * DAY_SEARCH_MS;
  while (high - low > INTERVAL_MS) { // days only ever follow each other, so the first moment can be halved towards
    const middle = low + Math.floor((high - low) / INTERVAL_MS / 2) * INTERVAL_MS;
    if (dayOf(middle) < text) low = middle;
    else high = middle;
  }
  return high;
}

/** The intervals of a calendar day in the zone: 96 of them, or 92 and 100 when clocks change (94 and 98 on Lord Howe). */
export function intervalsOfDay(text) {
  const first = intervalAt(startOfDay(text));
  const end = intervalAt(startOfDay(dayAfter(text)));
  return Array.from({ length: end - first }, (_, index) => first + index);
}
