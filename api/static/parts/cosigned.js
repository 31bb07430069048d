// Acts of an account for which k of m keys sign: what holds or binds its money goes to the others too before it is sent.

import { othersOf, toldOthers } from "../acts/account.js";
import { propose } from "./proposals.js";

/** What one's own key does alone: it gives money back, and holds none. */
const ALONE = new Set([
  "market.cancel_order", "market.cancel_listing", "auction.cancel_order", "offers.withdraw", "offers.decline",
]);

/** `made` (as `act` takes it), with the choice of who signs too where there is one, and sent when they all have. */
export function cosigned(context, { person, policy }, made) {
  const { t, format } = context;
  const needed = othersOf(policy, person.signer);
  if (needed.length === 0) return made;
  const options = policy.keys.filter((key) => key !== person.signer).map((key) => [key, format.short(key)]);
  const isAlone = ({ call }) => call !== undefined && ALONE.has(call.slice(0, 2).join("."));
  const asks = options.length > needed.length && !(made.fields === undefined && isAlone(made.quote({})));
  const fields = needed.map((key, index) => ({
    name: `signer${index}`, label: t("field.cosigner", { number: index + 1 }), kind: "choice", value: key, options,
  }));
  return {
    ...made,
    fields: [...(made.fields ?? []), ...(asks ? fields : [])],
    quote(values) {
      const quote = made.quote(values);
      if (isAlone(quote)) return { ...quote, call: { call: quote.call, others: [] } };
      const others = asks ? needed.map((_, index) => values[`signer${index}`]) : needed;
      const twice = new Set(others).size < others.length;
      return {
        ...quote,
        facts: [...(quote.facts ?? []), ...toldOthers(t, others)],
        next: t("account.several.next", { count: others.length }),
        problem: quote.problem || (twice ? t("account.several.twice") : ""),
        call: quote.call && { call: quote.call, others },
        prepare: quote.prepare && (async () => ({ call: await quote.prepare(), others })),
      };
    },
    send: (given, progress) => propose(context, given, progress),
  };
}
