// Before something is signed: that what it costs was shown as it is certified. A node that shows a better price than there is
// would otherwise have a person sign for the worse one.

import { Problem } from "../lib/api.js";
import { asShown, proven } from "../lib/proven.js";
import { feeBetween } from "../rules/terms.js";

/** What a seller risks and pays for, as the parameters say. */
export function sellingTermsAsShown(context, terms) {
  const names = ["imbalance_price", "fee_permille"];
  return Promise.all(names.map((name) => asShown(context, `governance/parameter/${name}`, { value: terms.parameters[name] })));
}

/** The grid fee from zone to zone in an interval, which was shown as `fee`. */
export async function gridFeeAsShown(context, [from, to], interval, fee) {
  const found = await proven(context, `governance/grid_fee/${from}/${to}`);
  const fees = found === null ? [] : [{ ...found, from_zone: from, to_zone: to }];
  if (feeBetween({ grid_fees: fees }, from, to, interval) !== fee) {
    throw new Problem("NOT_AS_SHOWN", "The node showed another grid fee than is certified. Nothing was signed.", 0);
  }
}

/** A listing of the book: its row is kept under its interval and price, and has [id, what is left, lot, zone]. */
export function listingAsShown(context, { listing, zone, price, lot_wh }, interval) {
  const key = `market/offer/${padded(interval)}/${padded(price)}/${listing}`;
  return asShown(context, key, { 2: lot_wh, 3: zone });
}

const padded = (number) => String(number).padStart(10, "0");

/** Records that came with their proofs. */
export function provenRecords(t, records) {
  return records.every((each) => each.proven) ? "" : t("act.unproven");
}
