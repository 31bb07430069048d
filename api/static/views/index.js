// The views, in the order of the navigation. Each exports {path, titleKey, render(root, context) -> cleanup}.

import * as explorer from "./explorer.js";
import * as register from "./register.js";

export const views = [explorer, register];
