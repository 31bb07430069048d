// What an act costs and holds, said before it is signed: the contracts' own sums (contracts/shipped/market, offers,
// auction). Every function gives {held, freed, ...} in micro-currency: `held` goes from available to held at once,
// `freed` comes back in the same transaction.

import { amountOf, big } from "./money.js";
import { feeBetween, productOf } from "./terms.js";

/** A seller covers what it might not deliver: Wh x imbalance price. `revenue` is before the market's fee. */
export function listingCosts(terms, energyWh, price) {
  return { held: heldFor(energyWh, terms.parameters.imbalance_price), freed: 0n, revenue: amountOf(energyWh, price) };
}

/** A buyer pays the listing's price and the grid fee to its own zone: {price, fee} per kWh, {cost, gridPart} in all. */
export function takingCosts(terms, listing, buyerZone, interval, energyWh) {
  const fee = feeBetween(terms, listing.zone, buyerZone, interval);
  return bought(big(listing.price) + fee, fee, energyWh);
}

/** A bid holds what it may cost at most, grid fee included; an ask what it may not deliver. */
export function orderCosts(terms, side, energyWh, price) {
  if (side === "ask") return listingCosts(terms, energyWh, price);
  return { held: heldFor(energyWh, price), freed: 0n, cost: amountOf(energyWh, price) };
}

/** What an offer holds: its worth, rounded up. */
const heldFor = (energyWh, price) => (big(energyWh) * big(price) + 999n) / 1000n;

/** An amended order frees what the old one held before the new one holds its own. */
export function amendingCosts(terms, order, energyWh, price) {
  return { ...orderCosts(terms, order.side, energyWh, price), freed: heldBy(order) };
}

/** What is held by an open listing, order, offer or sealed order. */
export function heldBy(record) {
  if (record.status === "sealed") return big(record.collateral);
  if (record.status !== "open") return 0n;
  return heldFor(record.remaining_wh, record.collateral_price ?? record.imbalance_price);
}

export function sealingCosts(terms) {
  return { held: big(terms.parameters.sealed_tier), freed: 0n };
}

/** Revealing gives the tier back for what any order holds. */
export function revealingCosts(terms, sealed, side, energyWh, price) {
  return { ...orderCosts(terms, side, energyWh, price), freed: heldBy(sealed) };
}

/** Accepting an offer for a meter of `zone`; `belowFee`: the contract refuses it with PRICE_BELOW_FEE. */
export function acceptingCosts(terms, offer, zone) {
  if (offer.side === "ask") {
    const fee = feeBetween(terms, offer.zone, zone, offer.interval);
    return { ...bought(big(offer.price) + fee, fee, offer.energy_wh), belowFee: false };
  }
  const fee = feeBetween(terms, zone, offer.zone, offer.interval);
  const net = big(offer.price) - fee;
  return {
    ...listingCosts(terms, offer.energy_wh, net < 0n ? 0n : net),
    held: amountOf(offer.energy_wh, terms.parameters.imbalance_price),
    price: big(offer.price),
    fee,
    gridPart: amountOf(offer.energy_wh, fee),
    belowFee: net < 0n,
  };
}

function bought(price, fee, energyWh) {
  const cost = amountOf(energyWh, price);
  return { held: cost, freed: 0n, cost, price, fee, gridPart: amountOf(energyWh, fee) };
}

/** The market's fee of an amount of which the grid gets a part, if all is delivered. */
export function marketFee(terms, amount, gridPart) {
  return ((big(amount) - big(gridPart)) * big(terms.parameters.fee_permille)) / 1000n;
}

/** Whole lots, or all that is left. */
export function fitsLots(energyWh, lotWh, remainingWh) {
  return energyWh > 0 && energyWh <= remainingWh && (energyWh === remainingWh || energyWh % lotWh === 0);
}

const SOLD = ["open", "taken", "filled", "accepted"];

/** What counts against a meter's capacity of one's own listings, orders and offers of one interval, in Wh. */
export function soldWh(records, meter) {
  let sold = 0;
  for (const record of records) {
    const left = SOLD.includes(record.status) ? 0 : record.remaining_wh;
    if (record.side === "bid") {
      // Whom a directed bid named sells by accepting it.
      if (record.status === "accepted" && record.other_meter === meter) sold += record.energy_wh;
    } else if (record.meter === meter) {
      sold += record.energy_wh - left;
    }
  }
  return sold;
}

/** How much of a meter's capacity may still be offered in an interval, in Wh. */
export const capacityLeftWh = (meter, sold) => Math.max(0, Math.floor(meter.capacity_w / 4) - sold);

/** What an order would trade at once in a book without zones: {energyWh, cost}; null where grid fees or several books
    decide, since the book is public without zones. `levels` are the other side's, best first. */
export function expectedFill(terms, zone, levels, side, energyWh, price) {
  if (terms.grid_fees.length > 0 || terms.products.length > 0 || productOf(terms, zone).name !== "") return null;
  let left = big(energyWh);
  let cost = 0n;
  for (const level of levels) {
    const meets = side === "bid" ? big(level.price) <= big(price) : big(level.price) >= big(price);
    if (!meets || left === 0n) break;
    const taken = left < big(level.energy_wh) ? left : big(level.energy_wh);
    cost += amountOf(taken, level.price);
    left -= taken;
  }
  return { energyWh: big(energyWh) - left, cost };
}

