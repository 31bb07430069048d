// Settlement as confirmation panels: sign, dispute, decide, adjust, give a mandate.

import { provenRecords } from "./shown.js";
import { adjustmentGain, disputable, settlementGain, sideOf } from "../rules/settlement.js";

export const SIGNED_AT_ONCE_MAX = 50;
const REASON_CHARS_MAX = 256;

/** Sign one or several proposals. */
export function confirm({ t, format }, { person }, trades) {
  const gain = trades.reduce((sum, trade) => sum + settlementGain(trade, sideOf(trade, person.signer)), 0n);
  const ids = trades.map((trade) => trade.id);
  return {
    title: trades.length === 1 ? t("act.confirm.one") : t("act.confirm", { count: trades.length }),
    quote: () => ({
      facts: [
        [t("fact.settlements"), format.count(trades.length)],
        [t("fact.delivered"), format.energy(trades.reduce((sum, trade) => sum + trade.delivered_wh, 0))],
        [t(gain < 0n ? "fact.pay" : "fact.receive"), format.money(gain < 0n ? -gain : gain)],
      ],
      next: t("act.confirm.next"),
      problem: provenRecords(t, trades),
      call: ids.length === 1
        ? ["settlement", "confirm", { trade: ids[0] }]
        : ["settlement", "confirm_many", { trades: ids }],
    }),
  };
}

/** Freeze a part of what one owes, and sign the rest. */
export function dispute({ t, format }, { person }, trade) {
  const side = sideOf(trade, person.signer);
  const most = disputable(trade, side);
  return {
    title: t("act.dispute"),
    danger: true,
    fields: [
      { name: "amount", label: t("field.disputed"), kind: "money", hint: t("field.disputed.hint", { most: format.money(most) }) },
      { name: "reason", label: t("field.reason"), kind: "reason", most: REASON_CHARS_MAX },
    ],
    quote({ amount, reason }) {
      return {
        facts: [[t("fact.frozen"), format.money(amount)], [t("fact.paidrest"), format.money(most - BigInt(amount))]],
        next: t("act.dispute.next"),
        problem: BigInt(amount) > most ? t("act.dispute.most", { most: format.money(most) }) : "",
        call: ["settlement", "dispute", { trade: trade.id, amount, reason }],
      };
    },
  };
}

/** Say how much of what is frozen is to be paid. */
export function resolve({ t, format }, record) {
  return {
    title: t("act.resolve"),
    fields: [{ name: "paid", label: t("field.paid"), kind: "amount", hint: t("field.paid.hint", { most: format.money(record.disputed) }) }],
    quote: ({ paid }) => ({
      facts: [
        [t("fact.frozen"), format.money(record.disputed)], [t("fact.paid"), format.money(paid)],
        [t("fact.back"), format.money(BigInt(record.disputed) - BigInt(paid))],
      ],
      next: t("act.resolve.next"),
      problem: BigInt(paid) > BigInt(record.disputed) ? t("act.resolve.most") : "",
      call: ["settlement", "resolve", { dispute_id: record.id, paid }],
    }),
  };
}

export function confirmAdjustments({ t, format }, { person }, adjustments) {
  const gain = adjustments.reduce((sum, each) => sum + adjustmentGain(each, sideOf(each, person.signer)), 0n);
  return {
    title: adjustments.length === 1 ? t("act.adjust.one") : t("act.adjust", { count: adjustments.length }),
    quote: () => ({
      facts: [[t(gain < 0n ? "fact.pay" : "fact.receive"), format.money(gain < 0n ? -gain : gain)]],
      held: gain < 0n ? -gain : 0n,
      freed: 0n,
      next: t("act.adjust.next"),
      problem: provenRecords(t, adjustments),
      call: ["settlement", "confirm_adjustments", { adjustments: adjustments.map((each) => each.id) }],
    }),
  };
}

/** The arbiter stands in for the party that has not signed an overdue settlement, or an adjustment, which has a number
    behind its trade's id. */
export function decideOverdue({ t }) {
  return {
    title: t("act.decide"),
    fields: [{ name: "adjustment", label: t("field.adjustment"), kind: "text", hint: t("field.adjustment.hint") }],
    quote: ({ adjustment: id }) => ({
      next: t("act.decide.next"),
      call: id.split("-").length > 3
        ? ["settlement", "decide_adjustment", { adjustment: id }]
        : ["settlement", "decide_trade", { trade: id }],
    }),
  };
}

/** Have proposals on signed readings count as signed, or end that. */
export function setMandate({ t }, granted) {
  return {
    title: t(granted ? "act.mandate" : "act.mandate.end"),
    danger: granted,
    quote: () => ({
      next: t(granted ? "act.mandate.next" : "act.mandate.end.next"),
      call: ["settlement", "set_mandate", { granted }],
    }),
  };
}
