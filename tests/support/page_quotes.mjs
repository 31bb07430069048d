// What panels of the page tell and would have signed: [[module, act, state, record, what is filled in], ...] as JSON on standard input;
// on standard output, for each, {facts, call}.

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [root] = process.argv.slice(2);
const load = (name) => import(pathToFileURL(`${root}/${name}`).href);
const [format, { t, setLanguage }] = await Promise.all([load("lib/format.js"), load("lib/i18n.js")]);
setLanguage("en");
const quotes = [];
for (const [module, act, state, record, filled] of JSON.parse(readFileSync(0, "utf8"))) {
  const { facts, call } = (await load(module))[act]({ t, format }, state, record).quote(filled);
  quotes.push({ facts: Object.fromEntries(facts), call });
}
process.stdout.write(JSON.stringify(quotes));
