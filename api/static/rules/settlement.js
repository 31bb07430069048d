// What a trade owes once it is metered, what a signature does, and who still has to sign (contracts/shipped/settlement).

import { amountOf, big } from "./money.js";

export const SIDES = ["seller", "buyer"];
export const OPEN_TO_SIGN = ["proposed", "overdue"];

/** {amount, gridAmount, fee, penalty} of a trade that delivers so much; each is rounded down once. */
export function owed(trade, deliveredWh, feePermille) {
  const amount = amountOf(deliveredWh, trade.price);
  const gridAmount = amountOf(deliveredWh, trade.grid_fee);
  const fee = ((amount - gridAmount) * big(feePermille)) / 1000n;
  return { amount, gridAmount, fee, penalty: amountOf(big(trade.energy_wh) - big(deliveredWh), trade.imbalance_price) };
}

/** delivered = min(contracted, what is left of the metered export), first trade first; Wh each. */
export function allocate(contractedWh, meteredWh) {
  let left = big(meteredWh);
  return contractedWh.map((wanted) => {
    const delivered = big(wanted) < left ? big(wanted) : left;
    left -= delivered;
    return delivered;
  });
}

/** How an account changes when a metered trade is settled: what the buyer pays is negative. */
export function settlementGain(trade, side) {
  if (side === "buyer") return -big(trade.amount);
  return big(trade.amount) - big(trade.grid_amount) - big(trade.fee) - big(trade.penalty);
}

/** What a settlement has moved on a side's account so far: what is disputed is not paid until it is decided, and then as
    was decided. `disputes`: those of this trade, each {side, disputed, paid, status}. */
export function paidGain(trade, disputes, side) {
  if (!["settled", "disputed"].includes(trade.status)) return 0n;
  const withheld = { seller: 0n, buyer: 0n };
  for (const each of disputes) {
    withheld[each.side] += big(each.disputed) - (each.status === "resolved" ? big(each.paid) : 0n);
  }
  const paid = big(trade.amount) - withheld.buyer;
  if (side === "buyer") return -paid;
  const fees = feesOf(trade, paid);
  return paid - fees.grid - fees.market - (big(trade.penalty) - withheld.seller);
}

/** What an adjustment brings a side, negative if it costs it. */
export const adjustmentGain = settlementGain;

/** What is held for a trade on a side. */
export function tradeHeld(trade, side) {
  if (trade.status === "matched") {
    return amountOf(trade.energy_wh, side === "buyer" ? trade.price : trade.imbalance_price);
  }
  if (!OPEN_TO_SIGN.includes(trade.status)) return 0n;
  return disputable(trade, side) - big(trade[`${side}_disputed`]);
}

/** The most that a side may dispute: the buyer the amount, the seller the penalty. */
export const disputable = (trade, side) => big(side === "buyer" ? trade.amount : trade.penalty);

/** On which side a signer stands, by its own key or as one of a policy's; "" for neither. */
export function sideOf(record, signer) {
  for (const side of SIDES) {
    const policy = record[`${side}_policy`];
    if (policy === null ? record[side] === signer : policy.keys.includes(signer)) return side;
  }
  return "";
}

/** Whether a proposal or an adjustment waits for this signer's signature. */
export function waitsFor(record, signer) {
  if (!OPEN_TO_SIGN.includes(record.status)) return false;
  return SIDES.some((side) => {
    const policy = record[`${side}_policy`];
    if (record[`${side}_confirmed`]) return false;
    return policy === null ? record[side] === signer : policy.keys.includes(signer) && !policy.signed.includes(signer);
  });
}

/** What of an adjustment's trade comes first: "" if it can be signed, else the code of the contract's refusal. */
export function adjustmentBar(adjustment, trade, earlier) {
  if (adjustment.status === "void") return "DISPUTED";
  const open = earlier.some((other) => other.number < adjustment.number && !["settled", "void"].includes(other.status));
  return !["settled", "disputed"].includes(trade.status) || open ? "EARLIER_OPEN" : "";
}

/** The grid's part and the market's fee of so much of the buyer's debt, rounded down: the grid's of all of it, the
    market's of what that leaves. */
export function feesOf(trade, paid) {
  const part = big(paid);
  const grid = part > 0n ? (big(trade.grid_amount) * part) / big(trade.amount) : 0n;
  const rest = part - grid;
  return { grid, market: rest > 0n ? (big(trade.fee) * rest) / (big(trade.amount) - big(trade.grid_amount)) : 0n };
}
