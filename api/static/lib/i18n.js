// Two languages from tables: i18n/NAME.en.js and i18n/NAME.zh.js, one pair a view. Keys are "name.what"; {braces} take
// parameters. Both tables of a pair have the same keys, which a test sees to.

import { tables } from "../i18n/index.js";

const KEPT = "wattquorum.language";
export const LANGUAGES = { en: "English", zh: "简体中文" };
const LOCALES = { en: "en-GB", zh: "zh-CN" };

let language = preferred();
const listeners = new Set();

function preferred() {
  const kept = globalThis.localStorage?.getItem(KEPT);
  if (kept in LANGUAGES) return kept;
  return (globalThis.navigator?.language ?? "en").toLowerCase().startsWith("zh") ? "zh" : "en";
}

/** The text of `key`; the key itself where there is none. */
export function t(key, params = {}) {
  const text = tables[language][key] ?? tables.en[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in params ? String(params[name]) : whole));
}

/** Whether a text exists for `key`. */
export const has = (key) => key in tables.en;

export const currentLanguage = () => language;

/** The locale to format numbers and dates in. */
export function locale() {
  const own = globalThis.navigator?.language ?? "";
  return own.toLowerCase().startsWith(language) ? own : LOCALES[language];
}

export function setLanguage(chosen) {
  language = chosen;
  globalThis.localStorage?.setItem(KEPT, chosen);
  for (const listener of listeners) listener(chosen);
}

/** Call `listener` when the language changes; returns how to stop. */
export function onLanguage(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** A sentence for an error: its code's in this language, else what the node said. */
export function sentence(error) {
  if (error.fault) return t("error.unproven", { detail: error.message });
  const key = `problem.${error.code}`;
  if (error.code && has(key)) return t(key, error.body ?? {});
  return error.detail ?? error.message ?? String(error);
}
