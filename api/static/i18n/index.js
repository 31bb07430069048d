// All texts, by language. One pair of tables a view.

import shellEn from "./shell.en.js";
import shellZh from "./shell.zh.js";
import explorerEn from "./explorer.en.js";
import explorerZh from "./explorer.zh.js";

export const tables = {
  en: { ...shellEn, ...explorerEn },
  zh: { ...shellZh, ...explorerZh },
};
