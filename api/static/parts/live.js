// Keeping what is shown up to date: events ask for a look, looks are made one at a time and never closer than need be.

import { fill } from "../lib/dom.js";

const GAP_MS = 300;
const ANYWAY_MS = 30_000;

/** Look again whenever `topics` bring something, and every half minute, since time brings something too; `look(kinds)` gets the kinds of what has come since the last look (null
    for the first one). Returns {stop, now()}. Failures go to `failed(error)`, and the next event looks again. */
export function live(context, topics, look, { intervals = [], onEvent = () => {}, onState = () => {}, failed }) {
  let waiting = new Set();
  let running = false;
  let stopped = false;

  async function turn() {
    if (running || stopped || waiting.size === 0) return;
    running = true;
    const kinds = waiting;
    waiting = new Set();
    try {
      await look(kinds);
    } catch (error) {
      if (!stopped) failed(error);
    }
    await new Promise((resolve) => setTimeout(resolve, GAP_MS));
    running = false;
    turn();
  }

  const now = (kind = "all") => { waiting.add(kind); turn(); };
  const heard = (event) => { onEvent(event); now(event.kind); };
  const stop = context.stream(topics, heard, { intervals, onState });
  const anyway = setInterval(() => document.hidden || now(), ANYWAY_MS);
  now();
  return { now, stop() { stopped = true; clearInterval(anyway); stop(); } };
}

/** Replace what is in `place`, unless it is the same already; the focus stays on what has the same `data-key`, and what was open
 * stays open. */
export function refill(place, ...children) {
  if (children.length === 1 && place.childNodes.length === 1 && place.firstChild === children[0]) return;
  const made = document.createElement("div");
  fill(made, ...children);
  for (const details of made.querySelectorAll("details[data-key]")) {
    details.open = place.querySelector(`details[data-key="${CSS.escape(details.dataset.key)}"]`)?.open ?? details.open;
  }
  if (same(place.childNodes, made.childNodes)) return;
  const held = place.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  place.replaceChildren(...made.childNodes);
  if (held !== undefined) place.querySelector(`[data-key="${CSS.escape(held)}"]`)?.focus({ preventScroll: true });
}

const same = (one, other) =>
  one.length === other.length && one.length > 0 && [...one].every((node, index) => node.isEqualNode(other[index]));
