// Best prices of the day's intervals, and what one's own trades were made at.

import { h } from "../../lib/dom.js";
import { chart } from "../../lib/charts.js";
import { drawn } from "../../parts/memo.js";
import { INTERVAL_MS } from "../../rules/terms.js";

/** By interval, the mean price of one's own trades, weighed by energy, in micro-currency per kWh. */
export function meanPrices(trades) {
  const sums = new Map();
  for (const { interval, price, energy_wh } of trades) {
    const [money, energy] = sums.get(interval) ?? [0, 0];
    sums.set(interval, [money + price * energy_wh, energy + energy_wh]);
  }
  return new Map([...sums].map(([interval, [money, energy]]) => [interval, Math.round(money / energy)]));
}

export function pricesCard(view) {
  const { context: { t, format }, state: { best, day, traded } } = view;
  const priced = best.filter((each) => each.bid !== null || each.ask !== null || each.listing !== null);
  if (priced.length === 0 && traded.size === 0) return null;
  const shown = traded.size > 0 ? best : best.filter((each) => each.interval >= priced[0].interval && each.interval <= priced.at(-1).interval);
  view.prices ??= {};
  return drawn(view.prices, [best, [...traded], day, format.currentZone(), t("prices.title")], () => {
    const line = (name, key, extra) => ({ name, kind: "step", points: shown.map((each) => [each.interval * INTERVAL_MS, each[key]]), ...extra });
    const from = shown[0].interval * INTERVAL_MS;
    return h("section", { class: "card" },
      h("header", {}, h("h2", {}, t("prices.title")), h("span", { class: "soft" }, `${format.day(from)} · ${t("market.perkwh")}`)),
      chart({
        title: t("prices.title"), desc: t("prices.desc"),
        series: [line(t("prices.bid"), "bid", { colour: 1 }), line(t("prices.ask"), "ask", { colour: 2 }), line(t("prices.listing"), "listing", { colour: 0, dashed: true }),
          ...(traded.size > 0 ? [{ name: t("prices.own"), kind: "step", colour: 3, points: shown.map((each) => [each.interval * INTERVAL_MS, traded.get(each.interval) ?? null]) }] : [])],
        x: { isTime: true, format: format.clock, from, to: (shown.at(-1).interval + 1) * INTERVAL_MS, step: INTERVAL_MS },
        y: { format: format.price },
      }));
  });
}
