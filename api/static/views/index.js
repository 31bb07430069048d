// The views, in the order of the navigation. Each exports {path, titleKey, render(root, context) -> cleanup}.

import * as account from "./account.js";
import * as explorer from "./explorer.js";
import * as market from "./market.js";
import * as operations from "./operations.js";
import * as register from "./register.js";
import * as settlement from "./settlement.js";

export const views = [market, account, settlement, operations, explorer, register];
