// What stands around every view: navigation, switches, the strip that says how far the node can be believed, alarms, notes.

import { fill, h } from "./lib/dom.js";
import { count, currentZone, setZone, short } from "./lib/format.js";
import { currentLanguage, LANGUAGES, setLanguage, t } from "./lib/i18n.js";
import { obstacle } from "./lib/keys.js";

const THEMES = ["auto", "light", "dark"];
const SIGNS = { auto: "◐", light: "☀", dark: "☾" };
const KEPT = "wattquorum.theme";
const NOTE_MS = 8_000;
const ZONES = ["Asia/Shanghai", "Europe/Berlin", "UTC"];

const at = (id) => document.getElementById(id);

export function navigation(nav, views, current, identity) {
  nav.setAttribute("aria-label", t("shell.navigation"));
  const link = (view) => h("a", { href: `#${view.path}`, "aria-current": view === current && "page" }, t(view.titleOf?.(identity) ?? view.titleKey));
  const known = nav.querySelector("ul");
  const scrolled = known?.scrollLeft ?? 0;
  const focused = nav.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  fill(nav, h("ul", {}, views.map((view) => h("li", {}, link(view)))));
  const list = nav.querySelector("ul");
  list.scrollLeft = scrolled;
  reveal(list, nav.querySelector('[aria-current="page"]'));
  if (focused) nav.querySelector(`a[href="${CSS.escape(focused).replaceAll("\\", "\\\\")}"]`)?.focus();
}

/** Scroll a list sideways until an item is seen. Not by scrollIntoView: browsers then begin there with the Tab key. */
function reveal(list, item) {
  if (item === null) return;
  const [outer, inner] = [list.getBoundingClientRect(), item.getBoundingClientRect()];
  if (inner.left < outer.left) list.scrollLeft -= outer.left - inner.left;
  else if (inner.right > outer.right) list.scrollLeft += inner.right - outer.right;
}

export function tools(place) {
  const other = currentLanguage() === "en" ? "zh" : "en";
  const language = h("button", { class: "quiet", lang: other === "zh" ? "zh-CN" : "en", title: t("shell.language") }, LANGUAGES[other]);
  language.addEventListener("click", () => {
    setLanguage(other);
    at("tools").querySelector("button").focus();
  });
  const theme = h("button", { class: "quiet" });
  const said = () => {
    const chosen = document.documentElement.dataset.theme;
    theme.setAttribute("aria-label", t(`shell.theme.${chosen}`));
    theme.title = t(`shell.theme.${chosen}`);
    fill(theme, h("span", { "aria-hidden": "true" }, SIGNS[chosen]));
  };
  theme.addEventListener("click", () => {
    const root = document.documentElement;
    root.dataset.theme = THEMES[(THEMES.indexOf(root.dataset.theme) + 1) % THEMES.length];
    localStorage.setItem(KEPT, root.dataset.theme);
    said();
  });
  said();
  fill(place, language, theme);
}

/** The strip below the head: node, block, and whether this page has verified it. */
export function showStrip(status, trust, identity) {
  const now = status.current;
  const parts = [];
  if (!status.reachable || !now) {
    parts.push(h("span", { class: "chip warn dot" }, t(status.reachable ? "shell.connecting" : "shell.unreachable")));
  }
  if (now) {
    parts.push(h("span", {}, t("shell.node", { name: now.name })));
    parts.push(h("span", {}, t("shell.block", { height: count(now.executed_height) })));
    if (!now.view_active) parts.push(h("span", { class: "chip warn" }, t("shell.changing")));
    parts.push(proofChip(trust), personChip(identity));
  }
  fill(at("strip"), parts);
}

function personChip(identity) {
  const warning = identity.warning();
  if (warning === null) return null;
  const days = Math.max(1, identity.daysLeft());
  return h("a", { class: `chip ${warning === 30 ? "warn" : "bad"}`, href: "#/register" },
    t(warning === "expired" ? "shell.expired" : "shell.expires", { days }));
}

function proofChip(trust) {
  if (obstacle()) return h("span", { class: "chip warn" }, t("shell.unverified"));
  if (trust.warnings.size) return h("span", { class: "chip bad dot" }, t("shell.untrusted"));
  const block = trust.newest;
  if (!block) return h("span", { class: "chip" }, t("shell.verifying"));
  const said = t("shell.verified", { height: count(block.height), signers: block.signers, validators: block.validators });
  return h("span", { class: "chip good dot", dataset: { verified: block.height } }, said);
}

/** The loud warning that the node lies, or is another network's. */
export function showAlarm(trust) {
  const [warning] = trust.warnings.values();
  if (!warning) return fill(at("alarm"));
  const { code, params } = warning;
  const named = { ...params, what: t(`alarm.what.${params.what}`), ...(params.chain && { chain: short(params.chain), trusted: short(params.trusted) }) };
  return fill(at("alarm"), h("div", { dataset: { alarm: code } },
    h("strong", {}, t(`alarm.${code}.title`)), h("p", {}, t(`alarm.${code}`, named)),
    h("p", {}, h("a", { href: "#/explorer/trust" }, t("alarm.more")))));
}

/** A note that goes by itself. `kind`: "good", "bad" or "". */
export function notify(text, kind = "") {
  const note = h("div", { class: kind }, text);
  at("toasts").append(note);
  setTimeout(() => note.remove(), NOTE_MS);
}

export function footer(place, trust, changed) {
  const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const zones = [...new Set([currentZone(), own, ...ZONES])];
  const select = h("select", { id: "zone" }, zones.map((zone) => h("option", { value: zone }, zone)));
  select.value = currentZone();
  select.addEventListener("change", () => {
    setZone(select.value);
    changed();
    at("zone").focus();
  });
  const network = trust.genesis && t("shell.chain", { network: trust.genesis.network, chain: short(trust.genesis.id) });
  fill(place, h("p", {}, t("shell.footer")), h("div", { class: "row" },
    network && h("span", {}, network), h("label", { for: "zone" }, t("shell.zone")), select));
}
