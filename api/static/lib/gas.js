// What is declared for a transaction when nobody says otherwise; sdk/gas.py has the same numbers.

const MOST = 2_000_000;
const OTHERWISE = 200_000;
const MARKET = 24_000;
const ORDER = 120_000;
const LIMITS = {
  "market.place_order": ORDER, "market.amend_order": ORDER, "market.cancel_order": MARKET, "market.post_listing": MARKET,
  "market.take_listing": MARKET, "market.cancel_listing": MARKET, "governance.deploy": MOST, "governance.upgrade": MOST,
};

export const gasLimitOf = (contract, name) => LIMITS[`${contract}.${name}`] ?? OTHERWISE;
