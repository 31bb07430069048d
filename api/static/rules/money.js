// Money as the contracts count it: integers of micro-currency (10^-6), prices in micro-currency per kWh, energy in Wh.
// Products of energy and price pass 2^53, so that all of it is BigInt here.

export const PRICE_MAX = 1_000_000_000n;
export const ENERGY_MAX_WH = 1_000_000_000n;
export const MICRO = 1_000_000n;

/** An integer of the API: a number, or text of digits from 2^53 on. */
export const big = (value) => BigInt(value);

/** Wh x price / 1000, rounded down once; neither is negative. */
export const amountOf = (energyWh, price) => (big(energyWh) * big(price)) / 1000n;

/** Micro-currency as text of the currency, all six decimals that matter, two at least. */
export function textOf(micro) {
  const value = big(micro);
  const size = value < 0n ? -value : value;
  const decimals = String(size % MICRO).padStart(6, "0").replace(/0{1,4}$/, "");
  return `${value < 0n ? "-" : ""}${size / MICRO}.${decimals}`;
}
