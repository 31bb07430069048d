// Elements from code. Text only ever enters the page as text: nothing here parses HTML.

const SVG = "http://www.w3.org/2000/svg";

/** An element. `props`: attributes; `class`, `dataset`, `style` (an object), `on` ({event: listener}) and `value` are what
 * they say; true gives an empty attribute; false, null and undefined give none. Children: nodes, text, numbers, lists. */
export function h(tag, props = {}, ...children) {
  return dressed(document.createElement(tag), props, children);
}

/** The same in SVG's namespace. */
export function svg(tag, props = {}, ...children) {
  return dressed(document.createElementNS(SVG, tag), props, children);
}

/** Replace everything within `parent`. */
export function fill(parent, ...children) {
  parent.replaceChildren(...nodes(children));
  return parent;
}

function dressed(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === false || value === null || value === undefined) continue;
    if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if (name === "style") for (const [key, set] of Object.entries(value)) element.style.setProperty(key, set);
    else if (name === "value" && "value" in element) element.value = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...nodes(children));
  return element;
}

function nodes(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : String(child)));
}

let made = 0;

/** An id that nothing else on the page has. */
export const uid = (stem = "w") => `${stem}-${(made += 1)}`;

/** Whether the page is a phone's width now: pictures are drawn narrower, so that their text stays readable. */
export const isNarrow = () => matchMedia("(max-width: 40rem)").matches;

/** A labelled form field; `control` is an input, select or textarea. */
export function field(label, control, hint = "") {
  control.id ||= uid("field");
  const said = hint ? h("p", { class: "hint", id: `${control.id}-hint` }, hint) : null;
  if (said) control.setAttribute("aria-describedby", said.id);
  return h("div", { class: "field" }, h("label", { for: control.id }, label), control, said);
}

/** A table. `columns`: [{label, number?, wide?}]; `rows`: lists of cells, each text or a node; `empty`: what to say of no rows.
 * On a phone the rows of one with buttons (a column without label) or sentences (`wide`) stand as blocks, each cell labelled. */
export function table(caption, columns, rows, empty) {
  const stacks = columns.some((column) => column.label === "" || column.wide);
  const head = columns.map((column) => h("th", { scope: "col", class: column.number && "number" }, column.label));
  const classOf = ({ number, wide, label }) => [number && "number", (wide || label === "") && "full"].filter(Boolean).join(" ");
  const cells = (row) => row.map((cell, index) => h("td", { class: classOf(columns[index]) || false, dataset: stacks ? { label: columns[index].label } : {} }, cell));
  const body = rows.length
    ? rows.map((row) => h("tr", {}, cells(row)))
    : h("tr", {}, h("td", { colspan: columns.length, class: "empty" }, empty));
  return h("div", { class: "table", tabindex: 0, role: "region", "aria-label": caption },
    h("table", { class: stacks && "stacks" }, h("caption", { class: "sr-only" }, caption), h("thead", {}, h("tr", {}, head)), h("tbody", {}, body)));
}

/** Pairs of term and description. */
export function facts(pairs) {
  return h("dl", { class: "facts" }, pairs.map(([term, value]) => h("div", {}, h("dt", {}, term), h("dd", {}, value))));
}
