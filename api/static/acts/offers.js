// Directed offers (协商) as confirmation panels: propose, counter, accept, decline, withdraw.

import * as costs from "../rules/costs.js";
import { buyingFacts, capacityProblem, meterField, orderFacts, revenueFacts } from "./market.js";
import { typed } from "../parts/inputs.js";
import { gridFeeAsShown, provenRecords, sellingTermsAsShown } from "./shown.js";

export function propose(context, state) {
  const { t, format } = context;
  const { terms, person, interval, meter, offered } = state;
  const sides = [person.sells && ["ask", t("offer.side.ask")], person.buys && ["bid", t("offer.side.bid")]].filter(Boolean);
  return {
    title: t("act.propose", { interval: format.intervalLabel(interval, true) }),
    fields: [
      { name: "to", label: t("field.to"), kind: "signer", hint: t("field.to.hint") },
      { name: "side", label: t("field.side"), kind: "choice", value: sides[0]?.[0], options: sides },
      meterField(t, person.meters, meter),
      { name: "energy_wh", label: t("field.energy"), kind: "energy" },
      { name: "price", label: t("field.price"), kind: "money", hint: t("field.price.offer") },
    ],
    quote({ to, side, meter: serial, energy_wh, price }) {
      const made = costs.orderCosts(terms, side, energy_wh, price);
      const own = person.meters.find((each) => each.meter === serial);
      const bars = side === "ask" && capacityProblem({ t, format }, own, offered, energy_wh);
      return {
        ...made,
        facts: orderFacts({ t, format }, terms, side, made, energy_wh, price),
        next: t("act.propose.next"),
        problem: to === person.signer ? t("act.self") : bars || "",
        assure: side === "ask" ? () => sellingTermsAsShown(context, terms) : undefined,
        call: ["offers", "propose", { to, side, meter: serial, interval, energy_wh, price }],
      };
    },
  };
}

/** Other terms from one's own side, which only the first proposer can accept. */
export function counter(context, { terms, person, meter }, offer) {
  const { t, format } = context;
  const side = offer.side === "ask" ? "bid" : "ask";
  return {
    title: t("act.counter", { interval: format.intervalLabel(offer.interval, true) }),
    fields: [
      meterField(t, person.meters, meter),
      { name: "energy_wh", label: t("field.energy"), kind: "energy", value: offer.energy_wh },
      { name: "price", label: t("field.price"), kind: "money", value: typed(offer.price), hint: t(`field.price.${side}`) },
    ],
    quote({ meter: serial, energy_wh, price }) {
      const made = costs.orderCosts(terms, side, energy_wh, price);
      return {
        ...made,
        facts: orderFacts({ t, format }, terms, side, made, energy_wh, price),
        next: t("act.counter.next"),
        assure: side === "ask" ? () => sellingTermsAsShown(context, terms) : undefined,
        call: ["offers", "counter", { offer: offer.id, meter: serial, energy_wh, price }],
      };
    },
  };
}

export function accept(context, { terms, person, meter }, offer) {
  const { t, format } = context;
  return {
    title: t("act.accept", { interval: format.intervalLabel(offer.interval, true) }),
    fields: [meterField(t, person.meters, meter)],
    quote({ meter: serial }) {
      const { zone } = person.meters.find((each) => each.meter === serial);
      const made = costs.acceptingCosts(terms, offer, zone);
      const bought = offer.side === "ask";
      const limit = bought ? made.price : made.price - made.fee;
      return {
        ...made,
        facts: [
          [t("fact.energy"), format.energy(offer.energy_wh)],
          ...(bought ? buyingFacts({ t, format }, made, offer.price) : [
            [t("fact.least"), `${format.price(limit)} ${t("unit.kwh")}`], ...revenueFacts({ t, format }, terms, made, made.gridPart),
          ]),
        ],
        next: t(bought ? "act.take.next" : "act.accept.next", { end: format.clock(format.intervalStart(offer.interval + 1)) }),
        problem: made.belowFee ? t("act.belowfee") : provenRecords(t, [offer]),
        assure: () => Promise.all([
          gridFeeAsShown(context, bought ? [offer.zone, zone] : [zone, offer.zone], offer.interval, made.fee),
          bought || sellingTermsAsShown(context, terms),
        ]),
        call: ["offers", "accept", { offer: offer.id, meter: serial, price_limit: Number(limit) }],
      };
    },
  };
}

/** Decline an offer made to oneself, or withdraw one's own. */
export function close({ t, format }, offer, how) {
  const own = how === "withdraw";
  return {
    title: t(`act.${how}`),
    danger: true,
    quote: () => ({
      facts: [[t("fact.energy"), format.energy(offer.energy_wh)], [t("fact.price"), format.price(offer.price)]],
      ...(own && { held: 0n, freed: costs.heldBy(offer) }),
      next: t(`act.${how}.next`),
      call: ["offers", how, { offer: offer.id }],
    }),
  };
}
