// The shell: which view is shown, in which language, and whether the node can be believed.

import { Api } from "./lib/api.js";
import { fill, h } from "./lib/dom.js";
import * as format from "./lib/format.js";
import { currentLanguage, has, onLanguage, sentence, t } from "./lib/i18n.js";
import { Identity } from "./lib/identity.js";
import { keys } from "./lib/keys.js";
import { Signer } from "./lib/sign.js";
import { Status } from "./lib/status.js";
import { subscribe } from "./lib/stream.js";
import { Trust } from "./lib/trust.js";
import { reservedNonce } from "./parts/proposals.js";
import { footer, navigation, notify, showAlarm, showStrip, tools } from "./shell.js";
import { views } from "./views/index.js";

const at = (id) => document.getElementById(id);
const node = document.querySelector('meta[name="wattquorum-node"]').content.replace(/\/$/, "");

const api = new Api(node, async () => {
  const key = identity.get();
  return key && trust.genesis ? { key, chain: trust.genesis.id } : null;
});
const trust = new Trust(api, () => showAlarm(trust));
const status = new Status(api, trust);
const identity = new Identity(api, status, () => frame());
const signer = new Signer(api, trust, () => identity.get(), reservedNonce);

const context = {
  api, keys, trust, status, signer, identity, t, has, format, notify, sentence,
  invoke: signer.invoke,
  cosign: signer.cosign,
  stream: (topics, onEvent, options) => subscribe(api, topics, onEvent, options),
  go: (path) => { location.hash = `#${path}`; },
};

let shown = null;
let begun = false;

const pathNow = () => location.hash.slice(1).split("?")[0] || views[0].path;

/** The view of a path, and what follows it: "/explorer/block/7" is the explorer's, with ["block", "7"]. */
function found(path) {
  const view = views.find((each) => path === each.path || path.startsWith(`${each.path}/`));
  return view && { view, rest: path.slice(view.path.length + 1).split("/").filter(Boolean).map(decoded) };
}

/** What stands for a part of a path; itself if it is nothing encoded. */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

async function show(focus) {
  shown?.cleanup?.();
  const mine = (shown = {});
  const place = found(pathNow());
  const root = h("div");
  fill(at("main"), root);
  delete at("main").dataset.shown;
  frame();
  document.title = `${place ? t(place.view.titleKey) : t("shell.nowhere.title")} · Wattquorum`;
  if (focus) at("main").focus();
  try {
    if (!place) return fill(root, h("h1", {}, t("shell.nowhere.title")), h("p", {}, t("shell.nowhere")));
    const cleanup = await place.view.render(root, { ...context, rest: place.rest });
    if (mine !== shown) return cleanup?.(); // somebody has gone elsewhere meanwhile
    shown.cleanup = cleanup;
    at("main").dataset.shown = pathNow();
  } catch (error) {
    console.error(error);
    fill(root, h("h1", {}, t("shell.failed")), h("p", { class: "notice bad", role: "alert" }, sentence(error)));
  }
}

/** Everything around the view. */
function frame() {
  const place = found(pathNow());
  document.documentElement.lang = currentLanguage() === "zh" ? "zh-CN" : "en";
  at("skip").textContent = t("shell.skip");
  navigation(at("navigation"), views.filter((view) => view.isShown?.(context) ?? true), place?.view, identity);
  tools(at("tools"));
  footer(at("footer"), trust, () => show(false));
  showAlarm(trust);
  showStrip(status, trust, identity);
}

at("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the hash is the router's
  at("main").focus();
});
addEventListener("hashchange", () => begun && show(true));
addEventListener("unhandledrejection", ({ reason }) => notify(has(`problem.${reason?.code}`) ? sentence(reason) : String(reason?.message ?? reason), "bad"));
onLanguage(() => show(false));
status.watch(() => showStrip(status, trust, identity));

async function begin() {
  frame();
  await identity.begin();
  await status.begin();
  await identity.refresh().catch(() => null); // a node that does not answer is told of in the strip
  begun = true;
  await show(false);
}

begin();
