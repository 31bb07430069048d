// Which interval and which meter; and what one may do there.

import { field, h } from "../../lib/dom.js";
import * as auction from "../../acts/auction.js";
import * as market from "../../acts/market.js";
import * as offers from "../../acts/offers.js";
import { AHEAD_MAX, entryEndMs, gateMs, INTERVAL_MS, intervalAt, isAuctioned } from "../../rules/terms.js";

export function pickerCard(view) {
  const { context: { t, format }, state } = view;
  const { interval, day, terms, best } = state;
  const now = intervalAt(view.now);
  const options = best.map((each) => h("option", { value: each.interval, selected: each.interval === interval }, optionText(view, each)));
  const select = h("select", { id: "market-interval", dataset: { key: "interval" }, on: { change: (event) => view.stay(Number(event.target.value)) } }, options);
  const step = (to, label, text, key) => h("button", {
    type: "button", "aria-label": label, dataset: { key },
    disabled: to < now || to > now + AHEAD_MAX, on: { click: () => view.stay(to) },
  }, text);
  return h("section", { class: "card", "aria-label": t("market.interval") },
    h("header", {}, h("h2", {}, format.day(interval * INTERVAL_MS)), h("span", { class: `chip ${view.isOpen ? "good" : "warn"}` }, gateText(view))),
    h("div", { class: "row picker" },
      step(sameTime(format, interval, -1), t("market.day.before"), "«", "day-before"),
      step(interval - 1, t("market.interval.before"), "‹", "before"),
      h("div", { class: "grow" }, field(t("market.interval"), select)),
      step(interval + 1, t("market.interval.after"), "›", "after"),
      step(sameTime(format, interval, 1), t("market.day.after"), "»", "day-after"),
      meterSelect(view)),
    h("div", { class: "row between" }, followBox(view), h("p", { class: "hint" }, t("market.zone", { zone: format.currentZone(), count: format.intervalsOfDay(day).length }))),
    state.meter && isAuctioned(terms, state.meter.zone) && h("p", { class: "hint" }, t("market.auction.times", {
      entry: format.clock(entryEndMs(terms, interval)), gate: format.clock(gateMs(terms, interval)),
    })));
}

function followBox(view) {
  const box = h("input", { type: "checkbox", checked: view.state.follows, dataset: { key: "follow" }, on: { change: () => view.follow(box.checked) } });
  return h("label", { class: "follow" }, box, view.context.t("market.follow"));
}

/** The same time of day `days` later: days need not be of 96 intervals. */
function sameTime(format, interval, days) {
  const day = format.dayOf(interval * INTERVAL_MS);
  const here = interval - format.intervalsOfDay(day)[0];
  const there = format.intervalsOfDay(format.dayAfter(day, days));
  return there[Math.min(here, there.length - 1)];
}

function optionText({ context: { t, format } }, { interval, bid, ask, listing }) {
  const told = [
    bid !== null && t("market.best.bid", { price: format.price(bid) }),
    ask !== null && t("market.best.ask", { price: format.price(ask) }),
    listing !== null && t("market.best.listing", { price: format.price(listing) }),
  ].filter(Boolean);
  return [format.intervalLabel(interval), ...told].join(" · ");
}

function gateText({ context: { t, format }, state, isOpen, now }) {
  const gate = gateMs(state.terms, state.interval);
  if (!isOpen && now < gate) return t("market.far");
  const params = { time: format.clock(gate), when: format.relative(gate, now) };
  return t(isOpen ? "market.closes" : "market.closed", params);
}

function meterSelect(view) {
  const { context: { t }, state: { person, meter } } = view;
  if (person === null || person.meters.length < 2) return null;
  const options = person.meters.map((each) => h("option", { value: each.meter, selected: each === meter }, `${each.meter} · ${each.zone}`));
  return field(t("field.meter"), h("select", { id: "market-meter", dataset: { key: "meter" }, on: { change: (event) => view.useMeter(event.target.value) } }, options));
}

/** The buttons of what one may do in this interval, or why there are none. */
export function toolbar(view) {
  const { context: { t }, state: { person, meter, terms } } = view;
  if (person === null) return h("p", { class: "notice" }, t("market.stranger"), " ", h("a", { href: "#/register" }, t("market.register")));
  if (!person.sells && !person.buys) return null;
  if (meter === null) return h("p", { class: "notice warn" }, t("market.nometer"));
  if (meter.suspended) return h("p", { class: "notice warn" }, t("market.suspended", { meter: meter.meter }));
  if (!view.isOpen) return null;
  const { context } = view;
  const auctioned = isAuctioned(terms, meter.zone);
  const entering = auctioned && view.now < entryEndMs(terms, view.state.interval);
  const tools = [
    person.sells && ["list", (state) => market.listEnergy(context, state)],
    !auctioned && person.buys && ["bid", (state) => market.placeOrder(context, state, "bid")],
    !auctioned && person.sells && ["ask", (state) => market.placeOrder(context, state, "ask")],
    entering && ["auction", (state) => auction.placeOrder(context, state)],
    entering && ["seal", (state) => auction.sealOrder(context, state)],
    ["propose", (state) => offers.propose(context, state)],
  ].filter(Boolean);
  return h("div", { class: "row", role: "group", "aria-label": t("market.tools") }, tools.map(([name, made], index) =>
    h("button", { type: "button", class: index === 0 && "primary", dataset: { key: `tool-${name}` }, on: { click: () => view.act(made) } }, t(`market.tool.${name}`))));
}
