// One's own documents over POST /v1/query: all pages of them, up to a bound.

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

/** Values of the documents of a type, in the order of their keys; `where`: {field: condition}. At most 4,000 of them. */
export async function documents(api, type, where = {}, { rows = PAGE_ROWS * PAGES_MAX } = {}) {
  const selector = { "v.type": type };
  for (const [name, condition] of Object.entries(where)) selector[`v.${name}`] = condition;
  const found = [];
  let bookmark = "";
  do {
    const asked = { selector, limit: Math.min(PAGE_ROWS, rows), bookmark };
    const page = await patiently(() => api.post("/v1/query", asked));
    for (const row of page.rows) found.push({ ...row.value, key: row.key, height: row.height });
    bookmark = page.bookmark;
  } while (bookmark !== "" && found.length < rows);
  return found;
}

/** A single document by its route, or null where there is none. */
export async function single(api, path) {
  try {
    return (await api.ask(path)).value;
  } catch (error) {
    if (error.status === 404 || error.code === "NOT_FOUND") return null;
    throw error;
  }
}
