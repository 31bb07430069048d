// Pictures are drawn anew only when what they show has changed: their tables stay open, and nothing flickers.

/** `draw(data)`, or what it gave the last time for the same data and window; `kept` belongs to one place on the page. */
export function drawn(kept, data, draw) {
  const said = JSON.stringify([data, innerWidth], (_, value) => (typeof value === "bigint" ? String(value) : value));
  if (kept.said !== said) Object.assign(kept, { said, node: draw(data) });
  return kept.node;
}
