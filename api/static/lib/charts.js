// Small charts as SVG: lines, steps, bars and a market's depth. Each has a title and a description for those who hear the page,
// a legend that does not rely on colour alone, and all its numbers as a table below.

import { h, isNarrow, svg, table, uid } from "./dom.js";
import { t } from "./i18n.js";

const PAGE_PX = 1_216;
const BESIDE_PX = 70; // what a page and a card leave free on both sides
const WIDTH_PX_MIN = 250;
const HEIGHT_PX_NARROW = 220;
const TICKS_Y = 4;
const [TICKS_X, TICKS_X_NARROW] = [8, 4];
const HOUR_MS = 3_600_000;
const STEPS_H = [0.25, 0.5, 1, 2, 3, 4, 6, 12, 24];
const CHAR_PX = 7;
const LABEL_PX = 20;
const END_PX = 72;
const PAD = { top: 26, right: 14, bottom: 30 };
const COLOURS = 4;
const BAR_SHARE = 0.78;
const TABLE_ROWS_MAX = 400;
/** What a depth chart leaves free beside the outermost prices: of their range, and of the highest. */
const [FREE_OF_RANGE, FREE_OF_PRICE] = [0.15, 0.05];

/** A chart. `series`: [{name, kind: "line" | "step" | "bar", points: [[x, y or null], …] by rising x, area?, dashed?, colour?}];
 * `x`, `y`: {label, format(value), from?, to?, step?: what one x takes, for bars and the last step, isTime?: x in ms}. It is drawn
 * as wide as a card is now, so that its text is as large as it says. */
export function chart({ title, desc = "", series, x, y, height: tall = 300 }) {
  const shown = series.map((each, index) => ({ colour: index % COLOURS, kind: "line", ...each }));
  const height = isNarrow() ? Math.min(tall, HEIGHT_PX_NARROW) : tall;
  const frame = framed(shown, x, y, height, isNarrow());
  const [titleId, descId] = [uid("chart"), uid("chart")];
  const picture = svg("svg", { viewBox: `0 0 ${frame.width} ${height}`, role: "img", "aria-labelledby": titleId, "aria-describedby": descId },
    svg("title", { id: titleId }, title), svg("desc", { id: descId }, desc || shown.map((each) => each.name).join(", ")),
    axes(frame, x, y), shown.map((each, index) => drawn(each, frame, shown, index)));
  const told = shown.filter((each) => each.points.some(([, value]) => value !== null));
  return h("figure", { class: "chart" }, told.length > 0 && shown.length > 1 && legend(told), picture, numbers(title, shown, x, y));
}

/** Bids and asks of a book, cumulated. `bids`, `asks`: [{price, energy_wh}], one of them at least, as the node orders them,
 * best first. */
export function depthChart({ title, desc, bids, asks, names, x, y, height }) {
  const prices = [...bids, ...asks].map(({ price }) => price);
  const [low, high] = [Math.min(...prices), Math.max(...prices)];
  const free = Math.max((high - low) * FREE_OF_RANGE, high * FREE_OF_PRICE);
  const [from, to] = [Math.max(0, low - free), high + free];
  const side = (name, levels, colour, end) => {
    let sum = 0;
    const points = levels.map((level) => [level.price, (sum += level.energy_wh)]);
    if (points.length > 0) points.push([end, sum]);
    const all = levels.length > 0 ? [[levels[0].price, 0], ...points] : [];
    return { name, kind: "stairs", area: true, colour, points: end === to ? all : all.reverse() };
  };
  const series = [side(names[0], bids, 1, from), side(names[1], asks, 2, to)];
  return chart({ title, desc, series, x: { ...x, from, to }, y, height });
}

function framed(series, x, y, height, narrow) {
  const points = series.flatMap((each) => each.points);
  const xs = points.map(([at]) => at);
  const ys = points.map(([, value]) => value).filter((value) => value !== null);
  const step = x.step ?? 0;
  const [left, right] = [x.from ?? Math.min(...xs, Infinity), x.to ?? Math.max(...xs.map((at) => at + step), -Infinity)];
  const marks = niceTicks(Math.min(0, y.from ?? 0, ...ys), Math.max(0, y.to ?? 0, ...ys));
  const [low, high] = [marks[0], marks.at(-1)];
  const start = Math.ceil(Math.max(...marks.map((mark) => y.format(mark).length)) * CHAR_PX) + 12;
  const width = Math.max(WIDTH_PX_MIN, Math.min(PAGE_PX, document.documentElement.clientWidth) - BESIDE_PX);
  const [wide, tall] = [width - start - PAD.right, height - PAD.top - PAD.bottom];
  const [from, to] = Number.isFinite(left) && right > left ? [left, right] : [Number.isFinite(left) ? left - 1 : 0, Number.isFinite(left) ? left + 1 : 1];
  return {
    from, to, marks, step, start, width, ticks: narrow ? TICKS_X_NARROW : TICKS_X, end: width - PAD.right, floor: height - PAD.bottom,
    px: (at) => start + ((at - from) / (to - from)) * wide,
    py: (value) => PAD.top + (1 - (value - low) / (high - low)) * tall,
  };
}

function niceTicks(low, high) {
  const size = roundSize((high - low || 1) / TICKS_Y);
  const marks = [];
  for (let mark = Math.floor(low / size); mark <= Math.ceil((high || (low < 0 ? 0 : 1)) / size); mark += 1) marks.push(mark * size);
  return marks;
}

/** The next of 1, 2, 5, 10, 20, … that is no less. */
function roundSize(rough) {
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough);
}

function axes(frame, x, y) {
  const lines = frame.marks.map((mark) => [
    svg("line", { class: "axis", x1: frame.start, x2: frame.end, y1: frame.py(mark), y2: frame.py(mark) }),
    svg("text", { x: frame.start - 6, y: frame.py(mark) + 4, "text-anchor": "end" }, y.format(mark)),
  ]);
  const marked = (x.isTime ? momentsOf(frame) : roundMarks(frame));
  const labelled = marked.filter((at, index) => hasRoom(frame, at, marked[index - 1])).map((at) => {
    const left = frame.px(at);
    const anchor = isAtEnd(frame, at) ? "end" : "middle";
    return svg("text", { x: left, y: frame.floor + 18, "text-anchor": anchor }, x.format(at));
  });
  const names = [
    y.label && svg("text", { x: 0, y: 11, class: "unit" }, y.label),
    x.label && svg("text", { x: frame.end, y: 11, class: "unit", "text-anchor": "end" }, x.label),
  ];
  return svg("g", { "aria-hidden": "true" }, lines, labelled, names);
}

const isAtEnd = (frame, at) => frame.px(at) > frame.end - LABEL_PX;

/** A label at the end stands to the left of its mark, where the one before it may be in the way. */
function hasRoom(frame, at, before) {
  return before === undefined || !isAtEnd(frame, at) || frame.px(at) - frame.px(before) > END_PX;
}

/** Round values from `from` to `to`, as many as have room: whole ones, as prices are. */
export function roundMarks({ from, to, ticks }) {
  const size = Math.max(1, roundSize((to - from) / ticks));
  const first = Math.ceil(from / size);
  return Array.from({ length: Math.floor(to / size) - first + 1 }, (_, i) => (first + i) * size);
}

/** Moments that people look for: whole quarters and hours from the left on, as many as have room. */
function momentsOf({ from, to, ticks }) {
  const hours = STEPS_H.find((each) => (to - from) / (each * HOUR_MS) <= ticks) ?? STEPS_H.at(-1);
  const size = hours * HOUR_MS;
  return Array.from({ length: Math.floor((to - from) / size) + 1 }, (_, i) => from + i * size);
}

function drawn(each, frame, all, index) {
  if (each.kind === "bar") return bars(each, frame, all.filter((other) => other.kind === "bar"), all[index]);
  return runsOf(each.points).map((run) => {
    const way = wayOf(run, each.kind, frame);
    const zero = frame.py(0);
    const edge = each.kind === "step" ? frame.px(run.at(-1)[0] + frame.step) : frame.px(run.at(-1)[0]);
    const area = each.area && svg("path", { class: `area f${each.colour}`, d: `${way} L${edge} ${zero} L${frame.px(run[0][0])} ${zero} Z` });
    return [area, svg("path", { class: `line c${each.colour} ${each.dashed ? "dashed" : ""}`, d: way })];
  });
}

/** Stretches of points without a gap. */
function runsOf(points) {
  const runs = [[]];
  for (const point of points) {
    if (point[1] === null) runs.push([]);
    else runs.at(-1).push(point);
  }
  return runs.filter((run) => run.length > 0);
}

function wayOf(run, kind, { px, py, step }) {
  const parts = run.map(([at, value], i) => {
    const [left, top] = [px(at), py(value)];
    if (i === 0) return `M${left} ${top}`;
    return kind === "line" ? `L${left} ${top}` : `H${left} V${top}`;
  });
  if (kind === "step") parts.push(`H${px(run.at(-1)[0] + step)}`);
  return parts.join(" ");
}

function bars(each, { px, py, step }, all, mine) {
  const share = BAR_SHARE / all.length;
  const offset = (1 - BAR_SHARE) / 2 + share * all.indexOf(mine);
  return each.points.filter(([, value]) => value !== null && value !== 0).map(([at, value]) => {
    const [left, right] = [px(at + step * offset), px(at + step * (offset + share))];
    const [top, bottom] = [Math.min(py(value), py(0)), Math.max(py(value), py(0))];
    return svg("rect", { class: `f${each.colour}`, x: left, y: top, width: Math.max(0.5, right - left), height: Math.max(0.5, bottom - top) });
  });
}

function legend(series) {
  const sign = ({ kind, colour, dashed }) => svg("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, kind === "bar"
    ? svg("rect", { class: `f${colour}`, x: 2, y: 2, width: 12, height: 12, rx: 2 })
    : svg("path", { class: `line c${colour} ${dashed ? "dashed" : ""}`, d: "M0 8 H16" }));
  return h("ul", { class: "legend" }, series.map((each) => h("li", {}, sign(each), each.name)));
}

function numbers(title, series, x, y) {
  const details = h("details", {}, h("summary", { class: "hint" }, t("shell.table")));
  details.addEventListener("toggle", () => { // made only when somebody looks
    if (!details.open || details.querySelector("table")) return;
    const rows = new Map();
    series.forEach((each, index) => each.points.forEach(([at, value]) => {
      if (!rows.has(at)) rows.set(at, series.map(() => "–"));
      if (value !== null) rows.get(at)[index] = y.format(value);
    }));
    const sorted = [...rows].sort(([one], [other]) => one - other).slice(0, TABLE_ROWS_MAX);
    const columns = [{ label: x.label ?? "" }, ...series.map((each) => ({ label: each.name, number: true }))];
    details.append(table(title, columns, sorted.map(([at, cells]) => [x.format(at), ...cells]), ""));
  });
  return details;
}
