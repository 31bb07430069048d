// The third step: the authority admits the person, by a code, by its policy, or by an operator's decision; and the
// certificate goes to the registry as a transaction that the person signs.

import { toBase64, utf8 } from "../../lib/bytes.js";
import { shown } from "../../lib/codes.js";
import { field, fill, h } from "../../lib/dom.js";
import { sentence, t } from "../../lib/i18n.js";

const POLL_MS = 3_000;
const ROLES = ["prosumer", "buyer", "seller"];
const NAME_CHARS_MAX = 64;
const CODE_CHARS_MAX = 32;

/** What is signed to prove possession of the key (ca/messages.py). */
export const applicationText = (name, organisation, role, codeId) => ["wattquorum/1 enrol", name, organisation, role, codeId].join("\n");

export function admission(place, context) {
  const { api, identity } = context;
  let timer = 0;
  let closed = false;

  const { registration } = identity.get().profile;
  if (registration) look();
  else ask();

  function ask(refusal = "") {
    fill(place, applying(identity.get().profile, refusal, async (told) => settle(await apply(told))));
  }

  async function apply({ name, organisation, role, code }) {
    const key = identity.get();
    const codeShown = await shown(code, { signer: key.signer, name, organisation, role });
    const proof = toBase64(await key.sign(utf8(applicationText(name, organisation, role, codeShown.code_id))));
    const asked = { public_key: key.publicKeyText, name, organisation, role, ...codeShown, proof };
    const answer = await api.post("/v1/registrations", asked, { open: true });
    await identity.describe({ name, organisation, role, registration: answer.registration });
    return answer;
  }

  async function look() {
    try {
      await settle(await api.ask(`/v1/registrations/${identity.get().profile.registration}`, { open: true }));
    } catch (error) {
      if (closed) return;
      if (error.code === "NOT_FOUND" || error.code === "REGISTRATION_UNKNOWN") return forget("");
      wait(sentence(error));
    }
  }

  async function settle(answer) {
    if (closed) return;
    if (answer.state === "issued") return enter(answer.certificate);
    if (answer.state === "waiting") return wait("");
    return forget(t("register.refused", { reason: answer.reason }));
  }

  async function forget(refusal) {
    await identity.describe({ registration: undefined });
    ask(refusal);
  }

  function wait(trouble) {
    if (!place.querySelector("[data-waiting]")) fill(place, waiting(identity.get(), () => forget("")));
    fill(place.querySelector("[data-trouble]"), trouble);
    timer = setTimeout(look, POLL_MS);
  }

  async function enter(certificate) {
    await entering(place, context, certificate);
  }

  return () => {
    closed = true;
    clearTimeout(timer);
  };
}

function applying(profile, refusal, apply) {
  const text = (value, autocomplete) => h("input", { value: value ?? "", required: true, maxlength: NAME_CHARS_MAX, autocomplete });
  const name = text(profile.name, "name");
  const organisation = text(profile.organisation, "organization");
  const code = h("input", { autocomplete: "one-time-code", maxlength: CODE_CHARS_MAX, spellcheck: "false", autocapitalize: "off" });
  const said = h("p", { class: "bad", role: "alert" }, refusal);
  const button = h("button", { class: "primary", type: "submit" }, t("register.apply"));
  const role = h("fieldset", {}, h("legend", {}, t("register.role")), ROLES.map((each) => h("label", { class: "choice" },
    h("input", { type: "radio", name: "role", value: each, checked: each === (profile.role ?? ROLES[0]) }), h("span", {}, t(`register.role.${each}`)))));
  const chosen = () => role.querySelector("input:checked").value;
  return h("section", { class: "card" }, h("h2", {}, t("register.admission")), h("p", {}, t("register.admission.about")),
    h("form", { on: { submit: async (event) => {
      event.preventDefault();
      button.disabled = true;
      fill(said);
      try {
        await apply({ name: name.value.trim(), organisation: organisation.value.trim(), role: chosen(), code: code.value.trim() });
      } catch (error) {
        fill(said, sentence(error));
        button.disabled = false;
      }
    } } }, field(t("register.name"), name, t("register.name.hint")), field(t("register.organisation"), organisation, t("register.organisation.hint")),
    role, field(t("register.code"), code, t("register.code.hint")), said, h("div", {}, button)));
}

function waiting(key, again) {
  const { name, organisation, role } = key.profile;
  return h("section", { class: "card", dataset: { waiting: key.profile.registration } }, h("h2", {}, t("register.waiting")),
    h("p", {}, t("register.waiting.about", { name, organisation, role: t(`register.role.${role}`) })),
    h("p", {}, t("register.waiting.tell")), h("p", { class: "mono" }, key.signer),
    h("p", { class: "warn", role: "status", dataset: { trouble: "" } }),
    h("div", {}, h("button", { type: "button", on: { click: again } }, t("register.waiting.again"))));
}

/** The registry's transaction: signed here, done once its receipt has verified. */
async function entering(place, { invoke, identity, flow, notify }, certificate) {
  const stages = h("p", { role: "status" });
  const said = h("div", { role: "alert" });
  fill(place, h("section", { class: "card", dataset: { entering: "" } }, h("h2", {}, t("register.entering")), h("p", {}, t("register.entering.about")), stages, said));
  const attempt = async () => {
    fill(said);
    try {
      const progress = (stage) => fill(stages, t(`register.stage.${stage}`));
      const { verified } = await invoke("registry", "register", { certificate_der: certificate }, { progress });
      notify(t("register.done", { height: verified.height, signers: verified.signers, validators: verified.validators }), "good");
      await identity.refresh();
      await flow.next(true);
    } catch (error) {
      fill(stages);
      fill(said, h("div", { class: "notice bad" }, h("p", {}, error.code === "MEMBERS_ONLY" ? t("register.members-only") : sentence(error)),
        h("div", {}, h("button", { type: "button", on: { click: attempt } }, t("shell.retry")))));
    }
  };
  await attempt();
}
