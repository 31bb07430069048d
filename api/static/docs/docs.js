// The REST routes for people, from the same document that programs read. Text only ever enters the page as text.

import { fill, h } from "../lib/dom.js";

const VERBS = ["get", "post"];
const main = document.getElementById("main");
let schemas = {};

/** Prose: blank lines part paragraphs, backticks are code, two stars are strong. */
function prose(text) {
  return text.split(/\n{2,}/).map((paragraph) => h("p", {}, spans(paragraph)));
}

function spans(text) {
  return text.split(/(`[^`]+`|\*\*[^*]+\*\*)/).map((part) => {
    if (part.startsWith("`")) return h("code", {}, part.slice(1, -1));
    return part.startsWith("**") ? h("strong", {}, part.slice(2, -2)) : part;
  });
}

const nameOf = (reference) => reference.split("/").at(-1);

/** A schema in a few words, with links to those that have a name. */
function type(schema = {}) {
  if (schema.$ref) return h("a", { href: `#schema-${nameOf(schema.$ref)}` }, nameOf(schema.$ref));
  if (schema.anyOf) return schema.anyOf.flatMap((each, place) => [place ? " or " : "", type(each)]);
  if (schema.enum) return schema.enum.map((each) => JSON.stringify(each)).join(" | ");
  if (schema.type === "array") return ["list of ", type(schema.items)];
  if (schema.contentEncoding) return `${schema.contentEncoding} text`;
  return `${schema.type ?? "anything"}${bounds(schema)}`;
}

function bounds(schema) {
  const said = [];
  if (schema.minimum !== undefined) said.push(`≥ ${schema.minimum}`);
  if (schema.maximum !== undefined) said.push(`≤ ${schema.maximum}`);
  if (schema.maxLength !== undefined) said.push(`at most ${schema.maxLength} characters`);
  if (schema.pattern !== undefined) said.push(schema.pattern);
  return said.length ? ` (${said.join(", ")})` : "";
}

function table(head, rows) {
  const titles = h("tr", {}, head.map((text) => h("th", { scope: "col" }, text)));
  const lines = rows.map((cells) => h("tr", {}, cells.map((cell) => h("td", {}, cell))));
  return h("div", { class: "scroll" }, h("table", {}, h("thead", {}, titles), h("tbody", {}, lines)));
}

function parameters(operation) {
  if (!operation.parameters?.length) return null;
  const rows = operation.parameters.map((each) => [
    h("code", {}, each.name), each.in, type(each.schema), optional(each.required, each.schema), spans(each.description ?? ""),
  ]);
  return [h("h4", {}, "Parameters"), table(["Name", "In", "Type", "Default", "What"], rows)];
}

function optional(required, schema) {
  if (required) return "required";
  return schema.default === undefined ? "–" : JSON.stringify(schema.default);
}

function body(operation) {
  if (!operation.requestBody) return null;
  const [[media, { schema }]] = Object.entries(operation.requestBody.content);
  return [h("h4", {}, `Body (${media})`), h("p", {}, type(schema)), schema.$ref ? fields(schemas[nameOf(schema.$ref)]) : null];
}

function fields(schema) {
  const rows = Object.entries(schema.properties ?? {}).map(([name, each]) => [
    h("code", {}, name), type(each), optional(schema.required?.includes(name), each), spans(each.description ?? ""),
  ]);
  return rows.length ? table(["Field", "Type", "Default", "What"], rows) : null;
}

function answers(operation) {
  const rows = Object.entries(operation.responses).map(([status, answer]) => [
    status, spans(answer.description), Object.values(answer.content ?? {}).map(({ schema }) => type(schema)),
  ]);
  return [h("h4", {}, "Answers"), table(["Status", "When", "What"], rows)];
}

const SESSIONS = { none: "Takes no session.", may: "With a session it tells what is yours.", must: "Takes a session." };

function access({ security = [{}] }) {
  if (!security.some((each) => each.session)) return SESSIONS.none;
  return security.some((each) => !each.session) ? SESSIONS.may : SESSIONS.must;
}

function operation(path, verb, each) {
  return h("details", { id: each.operationId },
    h("summary", {}, h("span", { class: "verb" }, verb.toUpperCase()), h("code", {}, path), h("span", {}, each.summary)),
    h("div", {}, prose(each.description ?? ""), h("p", { class: "hint" }, access(each)), parameters(each), body(each), answers(each)));
}

function routes(api) {
  return api.tags.map((tag) => {
    const found = Object.entries(api.paths).flatMap(([path, operations]) => VERBS
      .filter((verb) => operations[verb]?.tags.includes(tag.name)).map((verb) => operation(path, verb, operations[verb])));
    return h("section", { id: `tag-${tag.name}` }, h("h2", {}, tag.name), h("p", {}, tag.description), found);
  });
}

function problems(codes) {
  const rows = Object.entries(codes).map(([code, { status, sentence }]) => [h("code", {}, code), String(status), sentence]);
  return h("section", { id: "codes" }, h("h2", {}, "Codes"), table(["Code", "Status", "What to do"], rows));
}

function named() {
  const found = Object.entries(schemas).map(([name, schema]) => h("details", { id: `schema-${name}` },
    h("summary", {}, h("code", {}, name)), h("div", {}, prose(schema.description ?? ""), fields(schema))));
  return h("section", { id: "schemas" }, h("h2", {}, "Schemas"), found);
}

/** Open what the address names, so that a link leads to something that can be read. */
function follow() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target?.tagName === "DETAILS") target.open = true;
  target?.scrollIntoView();
}

function search(input) {
  const wanted = input.value.trim().toLowerCase();
  for (const each of main.querySelectorAll("details")) each.hidden = !each.textContent.toLowerCase().includes(wanted);
}

async function show() {
  const response = await fetch("/openapi.json");
  if (!response.ok) throw new Error(`status ${response.status}`);
  const api = await response.json();
  schemas = api.components.schemas;
  const places = [...api.tags.map(({ name }) => [`tag-${name}`, name]), ["codes", "codes"], ["schemas", "schemas"]];
  const filter = h("input", { type: "search", id: "filter", on: { input: (event) => search(event.target) } });
  fill(main, h("h1", {}, `${api.info.title} ${api.info.version}: REST`), prose(api.info.description),
    h("div", { class: "tools" }, h("label", { for: "filter" }, "Show only"), filter,
      places.map(([id, name]) => h("a", { href: `#${id}` }, name))),
    routes(api), problems(api["x-problem-codes"]), named());
  addEventListener("hashchange", follow);
  follow();
}

show().catch((error) => fill(main, h("p", { role: "alert" }, `The node does not answer: ${error.message}. Load this page again.`)));
