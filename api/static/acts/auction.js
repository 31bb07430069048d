// The call auction as confirmation panels: order, seal, reveal. A sealed order's terms are kept in this browser alone
// until they are revealed, so they are kept before its hash is signed.

import * as costs from "../rules/costs.js";
import { commitmentOf, newSalt } from "../rules/commitment.js";
import { capacityProblem, meterField, orderFacts } from "./market.js";
import { store } from "../lib/store.js";

const kept = (commitment) => `sealed/${commitment}`;

/** The terms of one's sealed order, from this browser; null if they are not here. */
export async function sealedTerms(record) {
  return (await store.get(kept(record.commitment)).catch(() => null)) ?? null;
}

const sidesOf = (t, person) =>
  [person.buys && ["bid", t("side.bid")], person.sells && ["ask", t("side.ask")]].filter(Boolean);

function fieldsOf(t, person, meter) {
  const sides = sidesOf(t, person);
  return [
    { name: "side", label: t("field.side"), kind: "choice", value: sides[0]?.[0], options: sides },
    meterField(t, person.meters, meter),
    { name: "energy_wh", label: t("field.energy"), kind: "energy" },
    { name: "price", label: t("field.price"), kind: "money", hint: t("field.price.auction") },
  ];
}

export function placeOrder({ t, format }, { terms, person, interval, meter, offered }) {
  return {
    title: t("act.auction", { interval: format.intervalLabel(interval, true) }),
    fields: fieldsOf(t, person, meter),
    quote({ side, meter: serial, energy_wh, price }) {
      const made = costs.orderCosts(terms, side, energy_wh, price);
      const own = person.meters.find((each) => each.meter === serial);
      const bars = side === "ask" && capacityProblem({ t, format }, own, offered, energy_wh);
      return {
        ...made,
        facts: orderFacts({ t, format }, terms, side, made, energy_wh, price),
        next: t("act.auction.next"),
        problem: bars || "",
        call: ["auction", "place_order", { side, meter: serial, interval, energy_wh, price }],
      };
    },
  };
}

export function sealOrder({ t, format }, { terms, person, interval, meter }) {
  const salt = newSalt();
  return {
    title: t("act.seal", { interval: format.intervalLabel(interval, true) }),
    fields: fieldsOf(t, person, meter),
    quote({ side, meter: serial, energy_wh, price }) {
      return {
        ...costs.sealingCosts(terms),
        facts: [[t("fact.forfeit"), t("fact.forfeit.text")]],
        next: t("act.seal.next"),
        async prepare() {
          const commitment = await commitmentOf(person.signer, serial, interval, side, energy_wh, price, salt);
          await store.put(kept(commitment), { side, energy_wh, price, salt });
          return ["auction", "seal_order", { meter: serial, interval, commitment }];
        },
      };
    },
  };
}

export function revealOrder({ t, format }, { terms }, record, sealed) {
  return {
    title: t("act.reveal", { interval: format.intervalLabel(record.interval, true) }),
    quote() {
      const made = costs.revealingCosts(terms, record, sealed.side, sealed.energy_wh, sealed.price);
      return {
        ...made,
        facts: [
          [t("field.side"), t(`side.${sealed.side}`)], [t("fact.energy"), format.energy(sealed.energy_wh)],
          ...orderFacts({ t, format }, terms, sealed.side, made, sealed.energy_wh, sealed.price),
        ],
        next: t("act.reveal.next"),
        call: ["auction", "reveal_order", { order: record.id, ...sealed }],
      };
    },
  };
}
