// The person at this page: account, role, meters; and what the market's terms are for them.

import { proven } from "../lib/proven.js";
import { documents } from "./documents.js";

const SELLS = ["seller", "prosumer"];
const BUYS = ["buyer", "prosumer"];
const GOVERNS = ["operator", "regulator"];

/** {signer, user, account, meters, sells, buys, operates}; null without a registered key. */
export async function personOf(context) {
  const key = context.identity.get();
  if (key === null) return null;
  const user = context.identity.user ?? await context.identity.refresh();
  if (user === null) return null;
  const { signer } = key;
  const [account, meters] = await Promise.all([accountOf(context, signer), documents(context, "meter")]);
  return {
    signer,
    user,
    account,
    meters: meters.filter((meter) => meter.owner === signer),
    sells: SELLS.includes(user.role),
    buys: BUYS.includes(user.role),
    operates: GOVERNS.includes(user.role),
  };
}

/** An account that nobody has paid into is empty. */
export async function accountOf(context, signer) {
  return await proven(context, `credit/account/${signer}`) ?? { available: 0, held: 0 };
}
