// Calls functions of the page's modules, or reads their values: [[module, name, arguments], ...] as JSON on standard input, the results as
// JSON on standard output. Integers beyond 2^53 travel as text, as in the API; BigInt results as text of digits.

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [root] = process.argv.slice(2);
const results = [];
for (const [module, name, args] of JSON.parse(readFileSync(0, "utf8"))) {
  const loaded = await import(pathToFileURL(`${root}/${module}`).href);
  const path = name.split(".");
  const holder = path.slice(0, -1).reduce((part, each) => part[each], loaded);
  const named = holder[path.at(-1)];
  results.push((typeof named === "function" ? await named.apply(holder, args) : named) ?? null);
}
process.stdout.write(JSON.stringify(results, (_, value) => (typeof value === "bigint" ? `${value}n` : value)));
