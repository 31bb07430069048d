// Meters: whose, where, how large, read by whom.

import { h, table } from "../../lib/dom.js";
import * as governance from "../../acts/governance.js";

export function metersCard(view) {
  const { context, context: { t, format }, state } = view;
  const columns = [
    { label: t("field.serial") }, { label: t("field.owner") }, { label: t("field.zone") }, { label: t("field.capacity"), number: true },
    { label: t("field.gateway") }, { label: t("market.state") }, { label: "" },
  ];
  const rows = state.meters.map((meter) => [
    meter.meter, view.nameOf(meter.owner), meter.zone, format.power(meter.capacity_w), view.nameOf(meter.gateway),
    h("span", { class: `chip ${meter.suspended ? "warn" : "good"}` }, t(meter.suspended ? "users.suspended" : "users.active")),
    h("div", { class: "row" },
      meter.suspended
        ? view.button("users.resume", `resume-${meter.meter}`, () => governance.resumeMeter(context, meter), { may: true })
        : view.button("users.suspend", `suspend-${meter.meter}`, () => governance.suspendMeter(context, meter), { may: true }),
      view.button("meters.rebind", `bind-${meter.meter}`, () => governance.bindMeter(context, state, meter))),
  ]);
  return h("section", { class: "card" },
    h("header", {}, h("h2", {}, t("meters.title")), view.button("gov.bind", "bind", () => governance.bindMeter(context, state), { style: "" })),
    table(t("meters.title"), columns, rows, t("meters.none")));
}
