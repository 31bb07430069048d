// The overview: a search, the round of consensus as it happens, the replicas, the newest blocks.

import { fill, h, isNarrow, table } from "../../lib/dom.js";
import { clockSeconds, count, short } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { obstacle } from "../../lib/keys.js";
import { NotProven } from "../../lib/verify.js";
import { consensus } from "./consensus.js";
import { blockLink } from "./proof.js";

const BLOCKS_SHOWN = 12;
const VERIFY_GAP_MS = 250;
const NOT_HERE = new Set(["NOT_CERTIFIED_YET", "BLOCK_NOT_HELD", "NOT_FOUND"]);

export async function overview(root, context) {
  const { status } = context;
  const picture = h("section", { class: "card wide", "aria-labelledby": "consensus-title" });
  const replicas = h("section", { class: "card" });
  const trusted = h("section", { class: "card" });
  const blocks = h("section", { class: "card wide" });
  fill(root, h("div", { class: "head" }, h("div", {}, h("h1", {}, t("explorer.title")), h("p", { class: "soft" }, t("explorer.about"))), finder(context)),
    h("div", { class: "grid halves" }, picture, replicas, trusted, blocks));
  const showStatus = (now) => {
    if (!now) return;
    fill(replicas, replicaTable(now));
    fill(trusted, trustCard(context));
  };
  showStatus(status.get());
  const stops = [status.watch(showStatus), consensus(picture, context), await newest(blocks, context)];
  return () => stops.forEach((stop) => stop());
}

function finder({ go }) {
  const input = h("input", { type: "search", id: "find", required: true, spellcheck: "false", placeholder: t("explorer.find.what") });
  return h("form", { class: "finder", role: "search", on: { submit: async (event) => {
    event.preventDefault();
    const text = input.value.trim().toLowerCase();
    if (/^\d{1,15}$/.test(text)) go(`/explorer/block/${text}`);
    else if (/^[0-9a-f]{64}$/.test(text)) go(`/explorer/find/${text}`);
    else input.setCustomValidity(t("explorer.find.nothing"));
    input.reportValidity();
  } } }, h("label", { class: "sr-only", for: "find" }, t("explorer.find")), input, h("button", { type: "submit" }, t("explorer.find")));
}

function replicaTable(now) {
  const top = Math.max(now.executed_height, ...now.peers.map((peer) => peer.executed_height));
  const own = { name: now.name, connected: true, executed_height: now.executed_height, view: now.view, own: true };
  const names = now.validators.map((validator) => validator.name);
  const all = [own, ...now.peers].sort((one, other) => names.indexOf(one.name) - names.indexOf(other.name));
  return [h("h2", {}, t("explorer.replicas")), table(t("explorer.replicas"), [
    { label: t("explorer.replica"), wide: isNarrow() }, { label: t("explorer.link") }, { label: t("explorer.view"), number: true },
    { label: t("explorer.executed"), number: true }, { label: t("explorer.lag"), number: true },
  ], all.map((peer) => [
    h("span", {}, peer.name, " ", peer.name === now.primary && h("span", { class: "chip good" }, t("explorer.primary")), peer.own && now.observer && h("span", { class: "chip" }, t("explorer.observer"))),
    h("span", { class: peer.connected ? "good" : "bad" }, peer.own ? t("explorer.this") : t(peer.connected ? "explorer.connected" : "explorer.away")),
    peer.own || peer.told ? String(peer.view) : "–", count(peer.executed_height), count(top - peer.executed_height),
  ]), "")];
}

function trustCard({ trust }) {
  const { genesis, newest: block } = trust;
  return [h("h2", {}, t("explorer.trust")),
    trust.warnings.size ? h("p", { class: "notice bad" }, t("explorer.trust.broken"))
      : obstacle() ? h("p", { class: "notice warn" }, t("explorer.proof.insecure"))
      : block && h("p", { class: "notice good" }, t("shell.verified", { height: count(block.height), signers: block.signers, validators: block.validators }),
        h("span", { class: "hint" }, block.names.join(", "))),
    genesis && h("p", {}, t(trust.source === "file" ? "explorer.trust.by.file" : "explorer.trust.by.first", { chain: short(genesis.id) })),
    h("p", {}, h("a", { href: "#/explorer/trust" }, t("explorer.trust.more")))];
}

async function newest(place, { api, trust, stream }) {
  let list = (await api.ask(`/v1/headers?limit=${BLOCKS_SHOWN}`, { open: true })).headers.toReversed();
  let stopped = false;
  const mark = (header) => {
    if (trust.checkHeader(header)) return h("span", { class: "chip good dot" }, t("explorer.verified"));
    if (trust.hashAt(header.height)) return h("span", { class: "chip bad dot" }, t("explorer.forged"));
    return h("span", { class: "chip" }, t(header.certified ? "explorer.certified" : "explorer.open"));
  };
  const show = () => {
    if (!place.contains(document.activeElement)) fill(place, h("h2", {}, t("explorer.blocks")), table(t("explorer.blocks"), [
      { label: t("explorer.height"), number: true, wide: isNarrow() }, { label: t("explorer.time") }, { label: t("explorer.transactions"), number: true },
      { label: t("explorer.proposer") }, { label: t("explorer.certificate") }, { label: t("explorer.hash") },
    ], list.map((header) => [blockLink(header.height), clockSeconds(header.time_ms), count(header.transactions), header.proposer, mark(header),
      h("span", { class: "mono" }, short(header.hash))]), t("explorer.none")));
  };
  /** Verify what is shown and not yet verified, the newest first, one at a time. */
  const verify = async () => {
    while (!stopped) {
      const next = trust.genesis && !obstacle() && list.find((header) => header.certified && !trust.hashAt(header.height));
      if (next) await verified(api, trust, next.height);
      if (next) show();
      await new Promise((resolve) => setTimeout(resolve, VERIFY_GAP_MS));
    }
  };
  show();
  verify();
  const unsubscribe = stream(["blocks"], ({ data }) => {
    list = [{ ...data, certified: true }, ...list.filter((header) => header.height !== data.height)].slice(0, BLOCKS_SHOWN);
    show();
  }, { open: true, fromHeight: (list[0]?.height ?? 0) + 1 });
  return () => {
    stopped = true;
    unsubscribe();
  };
}

async function verified(api, trust, height) {
  try {
    await trust.checkBlock((await api.ask(`/v1/certificates/${height}`, { open: true })).proof);
  } catch (error) {
    // A lie is in the alarm already; what is not here, or not answered, is asked for again.
    if (!(error instanceof NotProven) && !NOT_HERE.has(error.code) && error.code !== "NODE_UNREACHABLE" && error.status !== 429) throw error;
  }
}
