// All texts, by language. One pair of tables a view.

import shellEn from "./shell.en.js";
import shellZh from "./shell.zh.js";
import explorerEn from "./explorer.en.js";
import explorerZh from "./explorer.zh.js";
import registerEn from "./register.en.js";
import registerZh from "./register.zh.js";
import actsEn from "./acts.en.js";
import actsZh from "./acts.zh.js";
import marketEn from "./market.en.js";
import marketZh from "./market.zh.js";
import accountEn from "./account.en.js";
import accountZh from "./account.zh.js";
import settlementEn from "./settlement.en.js";
import settlementZh from "./settlement.zh.js";
import operationsEn from "./operations.en.js";
import operationsZh from "./operations.zh.js";
import foundationsEn from "./foundations.en.js";
import foundationsZh from "./foundations.zh.js";

export const tables = {
  en: { ...shellEn, ...explorerEn, ...registerEn, ...actsEn, ...marketEn, ...accountEn, ...settlementEn, ...operationsEn, ...foundationsEn },
  zh: { ...shellZh, ...explorerZh, ...registerZh, ...actsZh, ...marketZh, ...accountZh, ...settlementZh, ...operationsZh, ...foundationsZh },
};
