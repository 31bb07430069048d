// What one does in the market, as confirmation panels: list, take, order, amend, cancel.

import * as costs from "../rules/costs.js";
import { big } from "../rules/money.js";
import { productOf } from "../rules/terms.js";
import { gridFeeAsShown, listingAsShown, sellingTermsAsShown } from "./shown.js";
import { typed } from "../parts/inputs.js";

const LOT_WH = 100;

const energyField = (t, value = "", hint = "") => ({ name: "energy_wh", label: t("field.energy"), kind: "energy", value, hint });
const priceField = (t, value = "", hint = "") => ({ name: "price", label: t("field.price"), kind: "money", value, hint });

/** Which of one's meters; none of it is asked where there is one only. */
export function meterField(t, meters, chosen) {
  return {
    name: "meter", label: t("field.meter"), kind: "choice", value: chosen?.meter,
    options: meters.map((meter) => [meter.meter, `${meter.meter} · ${meter.zone}`]),
  };
}

export function listEnergy(context, { terms, person, interval, meter, offered }) {
  const { t, format } = context;
  const meterOf = (serial) => person.meters.find((each) => each.meter === serial);
  return {
    title: t("act.list", { interval: format.intervalLabel(interval, true) }),
    fields: [
      meterField(t, person.meters, meter), energyField(t), priceField(t, "", t("field.price.seller")),
      { name: "lot_wh", label: t("field.lot"), kind: "energy", value: LOT_WH, hint: t("field.lot.hint") },
    ],
    quote({ meter: serial, energy_wh, price, lot_wh }) {
      const made = costs.listingCosts(terms, energy_wh, price);
      return {
        ...made,
        facts: revenueFacts({ t, format }, terms, made, 0n),
        next: t("act.list.next", { gate: format.clock(gateOf(terms, interval)) }),
        problem: capacityProblem({ t, format }, meterOf(serial), offered, energy_wh) || (lot_wh > energy_wh ? t("act.lot") : ""),
        assure: () => sellingTermsAsShown(context, terms),
        call: ["market", "post_listing", { meter: serial, interval, energy_wh, price, lot_wh }],
      };
    },
  };
}

export function takeListing(context, { terms, person, interval, meter }, listing) {
  const { t, format } = context;
  const meterOf = (serial) => person.meters.find((each) => each.meter === serial);
  const whole = t("field.lots", { lot: format.energy(listing.lot_wh), left: format.energy(listing.remaining_wh) });
  return {
    title: t("act.take", { interval: format.intervalLabel(interval, true) }),
    fields: [meterField(t, person.meters, meter), energyField(t, listing.remaining_wh, whole)],
    quote({ meter: serial, energy_wh }) {
      const { zone } = meterOf(serial);
      const made = costs.takingCosts(terms, listing, zone, interval, energy_wh);
      return {
        ...made,
        facts: buyingFacts({ t, format }, made, listing.price),
        next: t("act.take.next", { end: format.clock(format.intervalStart(interval + 1)) }),
        problem: costs.fitsLots(energy_wh, listing.lot_wh, listing.remaining_wh) ? "" : whole,
        assure: () => Promise.all([
          listingAsShown(context, listing, interval), gridFeeAsShown(context, [listing.zone, zone], interval, made.fee),
        ]),
        call: ["market", "take_listing", { listing: listing.listing, meter: serial, energy_wh, price_max: Number(made.price) }],
      };
    },
  };
}

export function placeOrder(context, { terms, person, interval, meter, offered, book }, side) {
  const { t, format } = context;
  const executions = ["limit", "ioc", "fok"].map((name) => [name, t(`execution.${name}`)]);
  const meterOf = (serial) => person.meters.find((each) => each.meter === serial);
  return {
    title: t(`act.order.${side}`, { interval: format.intervalLabel(interval, true) }),
    fields: [
      meterField(t, person.meters, meter), energyField(t), priceField(t, "", t(`field.price.${side}`)),
      { name: "execution", label: t("field.execution"), kind: "choice", value: "limit", options: executions },
    ],
    quote({ meter: serial, energy_wh, price, execution }) {
      const { zone } = meterOf(serial);
      const made = costs.orderCosts(terms, side, energy_wh, price);
      const auctioned = productOf(terms, zone).mechanism !== "continuous";
      const bars = side === "ask" && capacityProblem({ t, format }, meterOf(serial), offered, energy_wh);
      return {
        ...made,
        facts: [
          ...orderFacts({ t, format }, terms, side, made, energy_wh, price),
          ...fillFacts({ t, format }, costs.expectedFill(terms, zone, side === "bid" ? book.asks : book.bids, side, energy_wh, price)),
        ],
        next: t(`act.order.next.${execution}`),
        problem: auctioned ? t("act.auctioned", { zone }) : bars || "",
        assure: side === "ask" ? () => sellingTermsAsShown(context, terms) : undefined,
        call: ["market", "place_order", { side, meter: serial, interval, energy_wh, price, execution }],
      };
    },
  };
}

/** `contract`: market, or auction. */
export function amendOrder(context, { terms }, order, contract = "market") {
  const { t, format } = context;
  return {
    title: t("act.amend", { interval: format.intervalLabel(order.interval, true) }),
    fields: [energyField(t, order.remaining_wh), priceField(t, typed(order.price), t(`field.price.${order.side}`))],
    quote({ energy_wh, price }) {
      const made = costs.amendingCosts(terms, order, energy_wh, price);
      return {
        ...made,
        facts: orderFacts({ t, format }, terms, order.side, made, energy_wh, price),
        next: t("act.amend.next"),
        assure: order.side === "ask" ? () => sellingTermsAsShown(context, terms) : undefined,
        call: [contract, "amend_order", { order: order.id, energy_wh, price }],
      };
    },
  };
}

/** Withdraw what is left of a listing or an order. */
export function cancel({ t, format }, record, contract = "market") {
  const listing = record.type === "listing";
  return {
    title: t(listing ? "act.cancel.listing" : "act.cancel.order"),
    danger: true,
    quote: () => ({
      facts: [[t("fact.left"), format.energy(record.remaining_wh)], [t("fact.price"), format.price(record.price)]],
      held: 0n,
      freed: costs.heldBy(record),
      next: t("act.cancel.next"),
      call: listing
        ? ["market", "cancel_listing", { listing: record.id }]
        : [contract, "cancel_order", { order: record.id }],
    }),
  };
}

// --------------------------------------------------------------------------------------------------------- facts

const gateOf = (terms, interval) => interval * 900_000 - terms.parameters.gate_closure_s * 1000;

/** What a seller gets if all is delivered. */
export function revenueFacts({ t, format }, terms, made, gridPart) {
  const fee = costs.marketFee(terms, made.revenue + gridPart, gridPart);
  return [
    [t("fact.revenue"), format.money(made.revenue)],
    [t("fact.fee", { percent: terms.parameters.fee_permille / 10 }), format.money(fee)],
    [t("fact.net"), format.money(made.revenue - fee)],
    [t("fact.shortfall"), `${format.price(terms.parameters.imbalance_price)} ${t("unit.kwh")}`],
  ];
}

/** What a buyer pays: the seller's price and the grid fee, for each kWh, which is the most that is signed for, and in all. */
export function buyingFacts({ t, format }, made, price) {
  return [
    [t("fact.price"), `${format.price(price)} ${t("unit.kwh")}`],
    [t("fact.gridfee"), `${format.price(made.fee)} ${t("unit.kwh")}`],
    [t("fact.limit"), `${format.price(made.price)} ${t("unit.kwh")}`],
    [t("fact.cost"), format.money(made.cost)],
    [t("fact.gridpart"), format.money(made.gridPart)],
  ];
}

export function orderFacts({ t, format }, terms, side, made, energyWh, price) {
  if (side === "ask") return revenueFacts({ t, format }, terms, made, 0n);
  const fees = terms.grid_fees.length > 0 ? t("fact.gridfee.included") : t("fact.gridfee.none");
  return [
    [t("fact.limit"), `${format.price(price)} ${t("unit.kwh")}`],
    [t("fact.most"), format.money(made.cost)],
    [t("fact.gridfee"), fees],
  ];
}

function fillFacts({ t, format }, fill) {
  if (fill === null) return [];
  const average = fill.energyWh > 0n ? (fill.cost * 1000n) / fill.energyWh : 0n;
  const said = fill.energyWh === 0n ? t("fact.fill.none") : t("fact.fill.some", {
    energy: format.energy(Number(fill.energyWh)), price: format.price(average),
  });
  return [[t("fact.fill"), said]];
}

/** Why a meter cannot offer so much, or "". */
export function capacityProblem({ t, format }, meter, offered, energyWh) {
  const left = costs.capacityLeftWh(meter, costs.soldWh(offered, meter.meter));
  return big(energyWh) > big(left) ? t("act.capacity", { left: format.energy(left) }) : "";
}
