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
 * the node's newest certified block; one that has changed after it is not yet. `where`: {field: condition}. At most 4,000;
 * `newest`: the last keys first. */
export async function documents({ api, trust }, type, where = {}, { rows = PAGE_ROWS * PAGES_MAX, newest = false } = {}) {
  const selector = { "v.type": type };
  for (const [name, condition] of Object.entries(where)) selector[`v.${name}`] = condition;
  const found = [];
  let bookmark = "";
  do {
    const asked = { selector, limit: Math.min(PAGE_ROWS, rows), bookmark, prove: true, ...(newest && { sort: [{ _id: "desc" }] }) };
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

/** What lies below a prefix of keys (which ends with "/"): [{name: the rest of the key, …}], at most a page of it. Of `names` of
 * fields only, it is the node's own account: there is a proof of whole values. */
export async function below({ api, trust }, prefix, names = null) {
  const selector = { _id: { $gte: prefix, $lt: `${prefix.slice(0, -1)}0` } }; // "0" comes after "/"
  const fields = names && { fields: names.map((each) => `v.${each}`) };
  const page = await patiently(() => api.post("/v1/query", { selector, limit: PAGE_ROWS, ...(fields ?? { prove: true }) }));
  const rows = names ? page.rows : await trust.judge("proof", () => verifyRows(page, trust.genesis));
  return rows.map((row) => ({ ...row.value, name: row.key.slice(prefix.length) }));
}
