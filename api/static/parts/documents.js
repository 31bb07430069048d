// One's own documents over POST /v1/query: all pages of them, up to a bound. Each comes with its proof, which is checked here: a
// node can leave documents out, and be late, but not make up any.

import { NotProven, verifyRows } from "../lib/verify.js";

const PAGE_ROWS = 200;
const PAGES_MAX = 20;

const TRIES = 4;
const PAUSE_MS = 700;

/** What `ask()` answers, asked again a few times where the node is only too busy to answer. */
export async function patiently(ask) {
  for (let tries = 1; ; tries += 1) {
    try {
      return await ask();
    } catch (error) {
      if (error.status !== 503 || tries === TRIES) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS * tries));
  }
}

/** Values of the documents of a type, in the order of their keys, with their `key`, `height` and whether they are `proven` at
 * the node's newest certified block; one that has changed after it is not yet. `where`: {field: condition}. At most 4,000. */
export async function documents({ api, trust }, type, where = {}, { rows = PAGE_ROWS * PAGES_MAX } = {}) {
  const selector = { "v.type": type };
  for (const [name, condition] of Object.entries(where)) selector[`v.${name}`] = condition;
  const found = [];
  let bookmark = "";
  do {
    const asked = { selector, limit: Math.min(PAGE_ROWS, rows), bookmark, prove: true };
    const page = await patiently(() => api.post("/v1/query", asked));
    const checked = await trust.judge("proof", () => checkedRows(page, type, trust.genesis));
    for (const row of checked) found.push({ ...row.value, key: row.key, height: row.height, proven: row.proven });
    bookmark = page.bookmark;
  } while (bookmark !== "" && found.length < rows);
  return found;
}

async function checkedRows(page, type, genesis) {
  const rows = await verifyRows(page, genesis);
  if (rows.some((row) => row.value.type !== type)) throw new NotProven("record", `it is no ${type}`);
  return rows;
}
