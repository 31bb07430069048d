// The market's terms, as `GET /v1/terms` has them: parameters, grid fees from zone to zone, products and their zones.

import { big } from "./money.js";

export const INTERVAL_MS = 900_000;
export const AHEAD_MAX = 672;
export const CONTINUOUS = "continuous";

/** The grid fee, in micro-currency per kWh, from the seller's zone to the buyer's, by the time of delivery. */
export function feeBetween(terms, sellerZone, buyerZone, interval) {
  const known = terms.grid_fees.find((fee) => fee.from_zone === sellerZone && fee.to_zone === buyerZone);
  if (known === undefined) return 0n;
  return big(interval * INTERVAL_MS < known.from_ms ? known.before : known.fee);
}

/** How a zone trades: its product with its mechanism; the book of all zones without one has the name "". */
export function productOf(terms, zone) {
  const found = terms.products.find((product) => product.zones.includes(zone));
  return found ?? { name: "", zones: [], mechanism: CONTINUOUS, grid_fee: 0, ties: "time" };
}

export const isAuctioned = (terms, zone) => productOf(terms, zone).mechanism !== CONTINUOUS;

/** When an interval stops trading. */
export const gateMs = (terms, interval) => interval * INTERVAL_MS - terms.parameters.gate_closure_s * 1000;

/** When nothing enters an auction any more, and sealed orders are revealed. */
export const entryEndMs = (terms, interval) => gateMs(terms, interval) - terms.parameters.reveal_s * 1000;

export const intervalAt = (timeMs) => Math.floor(timeMs / INTERVAL_MS);

/** An interval trades from a week ahead until its gate closes. */
export function isOpen(terms, interval, nowMs) {
  return nowMs < gateMs(terms, interval) && interval <= intervalAt(nowMs) + AHEAD_MAX;
}

/** The first interval that trades at a time. */
export function firstOpen(terms, nowMs) {
  let interval = intervalAt(nowMs);
  while (nowMs >= gateMs(terms, interval)) interval += 1;
  return interval;
}
