// The views, in the order of the navigation. Each exports {path, titleKey, render(root, context) -> cleanup}.

import * as explorer from "./explorer.js";

export const views = [explorer];
