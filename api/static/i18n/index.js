// All texts, by language. One pair of tables a view.

import shellEn from "./shell.en.js";
import shellZh from "./shell.zh.js";
import explorerEn from "./explorer.en.js";
import explorerZh from "./explorer.zh.js";
import registerEn from "./register.en.js";
import registerZh from "./register.zh.js";

export const tables = {
  en: { ...shellEn, ...explorerEn, ...registerEn },
  zh: { ...shellZh, ...explorerZh, ...registerZh },
};
