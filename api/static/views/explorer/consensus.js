// A round of consensus as it happens: each replica's line, from left to right the phases, a dot for each vote that this node saw.

import { fill, h, isNarrow, svg, table, uid } from "../../lib/dom.js";
import { count } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";

const REFRESH_MS = 1_000;
const ROUNDS_KEPT = 24;
const PHASES = ["pre-prepare", "prepare", "commit", "outcome"];
const [TOP, ROW] = [36, 40];
const SPACE = { wide: [760, 130, 60], narrow: [380, 74, 34] }; // width, and what is left free on both sides
const NAME_CHARS = { wide: 14, narrow: 7 };
const ARROWS_REPLICAS_MAX = 10;

export function consensus(place, { api, status }) {
  const rounds = new Map();
  let told = null;
  let chosen = null;
  let timer = 0;
  let stopped = false;
  const title = h("h2", { id: "consensus-title" }, t("explorer.consensus"));
  const about = h("p", { class: "soft" });
  const picture = h("figure", { class: "chart consensus" });
  const strip = h("div", { class: "rounds", role: "group", "aria-label": t("explorer.rounds") });
  const details = h("details", {}, h("summary", { class: "hint" }, t("shell.table")));
  const numbers = h("div");
  details.append(numbers);
  fill(place, h("header", {}, title, h("p", { class: "hint" }, t("explorer.consensus.unproven"))), about, picture, strip, details);

  const shown = () => rounds.get(chosen) ?? [...rounds.values()].at(-1);

  function draw() {
    const round = shown();
    if (!told || !round) return fill(about, t("explorer.rounds.none"));
    const named = (places) => places.map((each) => told.validators[each]).join(", ") || "–";
    fill(about, t(`explorer.round.${stateOf(round)}`, { height: count(round.height), view: round.view, primary: told.validators[round.primary] }));
    fill(picture, diagram(told, round, `${t("explorer.consensus")}: ${about.textContent}`, PHASES.map((phase) => `${t(`explorer.${phase}`)}: ${named(cast(round, phase))}`).join("; ")));
    fill(strip, [...rounds.values()].map((each) => h("button", {
      type: "button", class: stateOf(each), "aria-pressed": String(each === round), title: t(`explorer.round.${stateOf(each)}`, { height: count(each.height), view: each.view, primary: told.validators[each.primary] }),
      on: { click: () => { chosen = each.height; draw(); } },
    }, h("span", { class: "sr-only" }, count(each.height)))), chosen !== null && h("button", { type: "button", class: "follow", on: { click: () => { chosen = null; draw(); } } }, t("explorer.rounds.follow")));
    fill(numbers, table(t("explorer.consensus"), [{ label: t("explorer.phase") }, { label: t("explorer.votes") }], PHASES.map((phase) => [t(`explorer.${phase}`), named(cast(round, phase))]), ""));
    return undefined;
  }

  async function look() {
    try {
      const answer = await api.ask("/v1/rounds", { open: true });
      if (told && told.epoch !== answer.epoch) rounds.clear();
      told = answer;
      const certified = status.get()?.certified_height ?? 0;
      for (const [height, round] of rounds) if (height <= certified) rounds.set(height, { ...round, certified: true }); // gone from the log
      for (const round of answer.rounds) {
        rounds.delete(round.height); // a round that goes on moves to its newest state, in its place by height
        rounds.set(round.height, round);
      }
      for (const [height, round] of rounds) if (height <= Math.max(...answer.rounds.map((each) => each.height), 0) - ROUNDS_KEPT) rounds.delete(round.height);
      if (!strip.contains(document.activeElement)) draw();
    } catch (error) {
      if (error.status === undefined) throw error; // a node that does not answer is told of in the strip above
    }
    if (!stopped) timer = setTimeout(look, REFRESH_MS);
  }

  look();
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}

function stateOf(round) {
  return ["certified", "executed", "committed", "prepared"].find((state) => round[state]) ?? "proposed";
}

/** Whose votes of a phase there are. The primary's pre-prepare is its prepare. */
function cast(round, phase) {
  if (phase === "pre-prepare") return [round.primary];
  if (phase === "prepare") return round.prepares.filter((place) => place !== round.primary);
  return phase === "commit" ? round.commits : round.outcomes;
}

const shortened = (name, chars) => (name.length > chars ? `${name.slice(0, chars - 1)}…` : name);

function diagram({ validators, me }, round, title, desc) {
  const n = validators.length;
  const height = TOP + n * ROW + 8;
  const size = isNarrow() ? "narrow" : "wide";
  const [width, left, right] = SPACE[size];
  const x = (phase) => left + ((width - left - right) * phase) / (PHASES.length - 1);
  const y = (replica) => TOP + ROW * replica + ROW / 2;
  const [titleId, descId] = [uid("round"), uid("round")];
  const lines = validators.map((name, index) => [
    svg("line", { class: "lifeline", x1: left - 12, x2: width - right + 16, y1: y(index), y2: y(index) }),
    svg("text", { x: left - 22, y: y(index) + 4, "text-anchor": "end", class: index === me ? "own" : "" }, shortened(name, NAME_CHARS[size])),
  ]);
  const heads = PHASES.map((phase, index) => svg("text", { x: x(index), y: 16, "text-anchor": "middle", class: "phase" }, t(`explorer.${phase}`)));
  const arrows = n > ARROWS_REPLICAS_MAX ? [] : PHASES.slice(0, 3).flatMap((phase, index) => cast(round, phase).flatMap((sender) => validators.map((_, receiver) => receiver !== sender
    && svg("line", { class: `arrow p${index}`, x1: x(index), y1: y(sender), x2: x(index + 1) - 9, y2: y(receiver) }))));
  const dots = PHASES.flatMap((phase, index) => validators.map((_, replica) => {
    const voted = cast(round, phase).includes(replica);
    const due = phase === "pre-prepare" ? replica === round.primary : phase !== "prepare" || replica !== round.primary;
    return (voted || due) && svg("circle", { class: `vote ${voted ? "cast" : "missing"} p${index}`, cx: x(index), cy: y(replica), r: voted ? 7 : 5 });
  }));
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-labelledby": titleId, "aria-describedby": descId, dataset: { round: round.height } },
    svg("title", { id: titleId }, title), svg("desc", { id: descId }, desc), svg("g", { "aria-hidden": "true" }, lines, heads, arrows, dots));
}
