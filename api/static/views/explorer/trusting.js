// Whom this page trusts: one genesis file. It is kept from the first visit on, or comes from a file; and what was found amiss.

import { facts, fill, h } from "../../lib/dom.js";
import { count, dateTime } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { obstacle } from "../../lib/keys.js";
import { NotProven } from "../../lib/verify.js";

const GENESIS_BYTES_MAX = 8 << 20;

export function trusting(place, context) {
  const { trust, status } = context;
  const { genesis } = trust;
  const title = h("div", {}, h("h1", {}, t("explorer.trust")), h("p", { class: "soft" }, t("explorer.trust.about")));
  if (obstacle()) return void fill(place, title, h("p", { class: "notice warn" }, t("explorer.proof.insecure")));
  const validators = genesis?.epoch[2] ?? [];
  const lies = h("div", { class: "stack" });
  const show = () => fill(lies, [...trust.warnings.values()].map(notice));
  show();
  fill(place, title, lies,
    genesis && h("section", { class: "card" }, h("h2", {}, genesis.network), h("p", {}, t("explorer.trust.compare")),
      h("p", { class: "mono fingerprint", dataset: { fingerprint: genesis.id } }, genesis.id.match(/.{8}/g).join(" ")),
      facts([
        [t("explorer.trust.source"), t(trust.source === "file" ? "explorer.trust.file" : "explorer.trust.first")],
        [t("explorer.trust.since"), dateTime(trust.since)], [t("explorer.trust.began"), dateTime(genesis.timeMs)],
        [t("explorer.trust.validators"), `${count(validators.length)}: ${validators.map(([name]) => name).join(", ")}`],
        [t("explorer.trust.organisations"), `${genesis.organisations.threshold} / ${genesis.organisations.names.join(", ")}`],
      ])),
    h("section", { class: "card" }, h("h2", {}, t("explorer.trust.change")), h("p", {}, t("explorer.trust.change.about")), changing(context, () => trusting(place, context))));
  return status.watch(show);
}

const notice = ({ code, params }) => h("div", { class: "notice bad" }, h("strong", {}, t(`alarm.${code}.title`)),
  h("p", { class: "mono" }, Object.values(params).join(" · ")));

function changing({ trust, status, notify }, again) {
  const said = h("p", { class: "bad", role: "alert" });
  const file = h("input", { type: "file", id: "genesis-file", class: "sr-only", accept: ".json,application/json" });
  file.addEventListener("change", async () => {
    const [chosen] = file.files;
    try {
      if (chosen.size > GENESIS_BYTES_MAX) throw new NotProven("malformed", "too large");
      await trust.load(new Uint8Array(await chosen.arrayBuffer()));
      await status.refresh();
      notify(t("explorer.trust.loaded"), "good");
      again();
    } catch (error) {
      if (!(error instanceof NotProven)) throw error;
      fill(said, t("explorer.trust.no-genesis"));
    }
  });
  const anew = h("button", { type: "button", class: "danger", on: { click: async () => {
    if (!confirm(t("explorer.trust.anew.sure"))) return;
    await trust.forget();
    await status.refresh();
    again();
  } } }, t("explorer.trust.anew"));
  return h("div", { class: "stack" }, h("div", { class: "row" }, h("div", { class: "file" }, file,
    h("label", { class: "button", for: file.id }, t("explorer.trust.load"))), anew), said);
}
