// The account as confirmation panels: pay somebody, and say whose keys sign for it. Where several keys sign, both are proposals.

import { short } from "../lib/format.js";
import { propose } from "../parts/proposals.js";

/** Who besides `signer` has to sign under a policy, those first who stand first in it; null: the owner's key alone. */
export function othersOf(policy, signer) {
  if (policy === null) return [];
  const own = policy.keys.includes(signer) ? 1 : 0;
  return policy.keys.filter((key) => key !== signer).slice(0, policy.threshold - own);
}

/** Who besides `signer` has to sign that `next` takes the place of `policy`: enough of both, and whose key is named for the first time. */
export function othersOfChange(policy, next, signer) {
  const known = policy?.keys ?? [signer];
  const fresh = (next?.keys ?? []).filter((key) => key !== signer && !known.includes(key));
  const sure = new Set([...othersOf(policy, signer), ...fresh]);
  const signing = (key) => key === signer || sure.has(key);
  const lacking = next === null ? 0 : next.threshold - next.keys.filter(signing).length;
  return [...sure, ...(next?.keys ?? []).filter((key) => !signing(key)).slice(0, Math.max(0, lacking))];
}

export const toldOthers = (t, others) => (others.length > 0 ? [[t("fact.others"), others.map((each) => short(each)).join(", ")]] : []);

function several(context, others, made) {
  const { t } = context;
  return {
    ...made,
    facts: [...made.facts, ...toldOthers(t, others)],
    next: others.length > 0 ? t("account.several.next", { count: others.length }) : made.next,
    call: { call: made.call, others },
  };
}

export function pay(context, { person, policy }) {
  const { t, format } = context;
  return {
    title: t("act.pay"),
    fields: [{ name: "to", label: t("field.to"), kind: "signer", hint: t("field.to.hint") }, { name: "amount", label: t("field.amount"), kind: "money" }],
    quote: ({ to, amount }) => several(context, othersOf(policy, person.signer), {
      facts: [[t("fact.amount"), format.money(amount)], [t("act.after"), format.money(BigInt(person.account.available) - BigInt(amount))]],
      next: t("act.pay.next"),
      problem: BigInt(amount) > BigInt(person.account.available) ? t("act.uncovered") : to === person.signer ? t("act.self") : "",
      call: ["credit", "transfer", { account: person.signer, to, amount }],
    }),
    send: (given, progress) => propose(context, given, progress),
  };
}

/** Have k of m keys sign; enough of the earlier and of the new ones sign the change. */
export function setPolicy(context, { person, policy }) {
  const { t } = context;
  return {
    title: t("act.policy"),
    danger: true,
    fields: [
      { name: "keys", label: t("field.keys"), kind: "signers", value: (policy?.keys ?? [person.signer]).join(",\n"), hint: t("field.keys.hint") },
      { name: "threshold", label: t("field.threshold"), kind: "whole", value: policy?.threshold ?? 1 },
    ],
    quote({ keys, threshold }) {
      const back = keys.length === 0 && threshold === 0;
      const sound = back || (threshold >= 1 && threshold <= keys.length && new Set(keys).size === keys.length);
      const next = back ? null : { keys, threshold };
      const others = sound ? othersOfChange(policy, next, person.signer) : [];
      return several(context, others, {
        facts: [],
        next: t("act.policy.next"),
        problem: sound ? "" : t("act.policy.unsound"),
        call: ["credit", "set_policy", { account: person.signer, keys, threshold }],
      });
    },
    send: (given, progress) => propose(context, given, progress),
  };
}
