// Becoming a participant, in one flow: key, backup, admission, registration, meter. Whoever comes back is met where it left.

import { fill, h } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { keys } from "../lib/keys.js";
import { admission } from "./register/admission.js";
import { backup } from "./register/backup.js";
import { start } from "./register/start.js";
import { member } from "./register/member.js";

export const path = "/register";
export const titleKey = "register.title";
export const titleOf = ({ user }) => (user === null ? titleKey : "register.title.member");

const STEPS = ["key", "backup", "admission", "member"];

export async function render(root, context) {
  const { identity } = context;
  const place = h("div", { class: "stack" });
  const head = h("div");
  let cleanup = null;
  let closed = false;

  async function show(step, screen, ...given) {
    cleanup?.();
    cleanup = null;
    const known = identity.user !== null;
    fill(head, h("div", { class: "head" }, h("div", {}, h("h1", {}, t(known ? "register.title.member" : titleKey)),
      h("p", { class: "soft" }, t(known ? "register.about.member" : "register.about")))), !known && progress(step));
    const made = await screen(fill(place), { ...context, flow }, ...given);
    if (closed) made?.();
    else cleanup = made;
  }

  const flow = {
    /** A key was made or restored; `restored` ones have a backup already. */
    async got(fresh, restored) {
      if (!restored) return show("backup", backup, fresh);
      await identity.set(await fresh.keep());
      return flow.next(true);
    },
    /** Wherever the person stands now; `moved`: a step was just done, so the keyboard follows. */
    async next(moved = false) {
      if (!identity.get()) await show("key", start);
      else if (!identity.user) await show("admission", admission);
      else await show("member", member);
      if (moved) {
        const title = place.querySelector("h2");
        title?.setAttribute("tabindex", "-1");
        title?.focus();
      }
    },
  };

  fill(root, head, place);
  const obstacle = keys.obstacle();
  if (obstacle) {
    await show("key", unable, obstacle);
    return undefined;
  }
  if (identity.get()) await identity.refresh();
  await flow.next();
  return () => {
    closed = true;
    cleanup?.();
  };
}

function progress(current) {
  const now = STEPS.indexOf(current);
  return h("ol", { class: "steps", "aria-label": t("register.steps") }, STEPS.map((step, index) => h("li", {
    class: index < now ? "done" : "", "aria-current": index === now && "step",
  }, h("span", { class: "mark", "aria-hidden": "true" }, index < now ? "✓" : String(index + 1)), t(`register.step.${step}`))));
}

function unable(place, _, obstacle) {
  fill(place, h("section", { class: "card", dataset: { obstacle } },
    h("h2", {}, t(`register.${obstacle}.title`)), h("p", {}, t(`register.${obstacle}`)),
    obstacle === "insecure" && h("p", {}, t("register.insecure.help")),
    obstacle === "insecure" && h("p", { class: "mono" }, location.origin.replace(/^http:/, "https:"))));
}
