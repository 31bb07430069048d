// What a proposal would do, argument by argument, in words: whoever signs second has nothing else to go by.

import { listingAsShown } from "../../acts/shown.js";
import { fromBase64, sha256, toHex, utf8 } from "../../lib/bytes.js";
import { h } from "../../lib/dom.js";

const LONG_CHARS = 300;
/** Of so many intervals ahead those are looked at that have a listing, the first few of them. */
const INTERVALS_MAX = 200;
const BOOKS_MAX = 40;

/** [[term, what is told], …] */
export async function argumentsOf(view, payload) {
  const { context: { t, has, format } } = view;
  const { args } = payload;
  const found = await Promise.all(Object.entries(args).map(async ([name, value]) => [
    has(`argument.${name}`) ? t(`argument.${name}`) : name, await told(view, name, value),
  ]));
  if (isOrder(args)) found.push([t("argument.worth"), format.money((BigInt(args.energy_wh) * BigInt(args.price)) / 1000n, 6)]);
  if (payload.function === "take_listing") found.push([t("argument.listing_price"), await listingPrice(view, args.listing)]);
  return found;
}

const isOrder = ({ energy_wh: energy, price }) => Number.isSafeInteger(energy) && Number.isSafeInteger(price);

/** A listing is named by its id alone; what it costs is looked for in the books, and proven. */
async function listingPrice({ context, context: { t, format } }, listing) {
  if (!listings.has(listing)) listings.set(listing, await provenListing(context, listing));
  const found = listings.get(listing);
  if (found === null) listings.delete(listing);
  return found === null ? t("argument.listing_unknown") : `${priceOf({ t, format }, found.price)}, ${format.intervalLabel(found.interval, true)}`;
}

/** By id, what never changes of a listing. */
const listings = new Map();

async function provenListing(context, listing) {
  const ask = (path) => context.api.ask(path, { open: true });
  const { intervals } = await ask(`/v1/intervals?count=${INTERVALS_MAX}`);
  for (const { interval } of intervals.filter((each) => each.listing !== null).slice(0, BOOKS_MAX)) {
    const found = (await ask(`/v1/book/${interval}`)).listings.find((each) => each.listing === listing);
    if (found === undefined) continue;
    await listingAsShown(context, found, interval);
    return { price: found.price, interval };
  }
  return null;
}

const priceOf = ({ t, format }, value) => `${format.price(value)} ${t("unit.kwh")}`;

/** Whole numbers as what they count. */
const numbers = {
  energy_wh: ({ format }, value) => format.energy(value),
  lot_wh: ({ format }, value) => format.energy(value),
  amount: ({ format }, value) => format.money(value, 6),
  price: priceOf,
  price_max: priceOf,
  price_limit: priceOf,
  interval: ({ format }, value) => format.intervalLabel(value, true),
};

/** An argument in words; of a source or a certificate its hash, to be compared, and the text to be read. */
async function told(view, name, value) {
  const { context } = view;
  if (Number.isSafeInteger(value) && name in numbers) return numbers[name](context, value);
  if (["side", "execution"].includes(name) && context.has(`${name}.${value}`)) return context.t(`${name}.${value}`);
  if (name === "keys" && Array.isArray(value)) return value.map((key) => view.nameOf(key)).join(", ");
  if (typeof value === "string" && value.length > LONG_CHARS) {
    const bytes = name === "certificate_der" ? fromBase64(value) : utf8(value);
    return h("details", { dataset: { key: `long-${value.length}` } }, h("summary", {}, h("code", {}, `SHA-256 ${toHex(await sha256(bytes))}`)), h("pre", {}, h("code", {}, value)));
  }
  if (typeof value === "string" && /^[0-9a-f]{64}$/.test(value)) return `${view.nameOf(value)} (${context.format.short(value)})`;
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
