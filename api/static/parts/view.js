// What the views that follow the ledger do alike: they open under a head, say what went wrong and try again, and end.

import { fill, h } from "../lib/dom.js";
import { trouble } from "./trouble.js";

/** A view has `places` (name → element), `begin()`, and `following` (what `live` gave) once it has begun. */
export class LiveView {
  constructor(root, context) {
    Object.assign(this, { root, context, following: null, ended: false, places: {} });
    this.trouble = h("div", { class: "noprint", role: "status" });
  }

  /** Show the head and the places that are to be filled; `style`: how they stand. Until the first look clears it away, it is
   * said that something comes. */
  open(title, lead, style) {
    const { t } = this.context;
    fill(this.trouble, h("p", { class: "soft" }, t("shell.loading")));
    fill(this.root, h("div", { class: "head" }, h("div", {}, h("h1", {}, t(title)), h("p", { class: "soft" }, t(lead)))),
      this.trouble, h("div", { class: style }, Object.values(this.places)));
  }

  /** Whoever has a key, in a word: oneself by name, others by the beginning of theirs. */
  nameOf(signer) {
    return signer === this.person?.signer ? this.person.user.name : this.context.format.short(signer);
  }

  /** Say why there is nothing for this person here. */
  turnAway(title, ...why) {
    fill(this.root, h("h1", {}, this.context.t(title)), h("p", { class: "notice" }, ...why));
  }

  end() {
    this.ended = true;
    this.calm?.();
    this.following?.stop();
  }

  failed(error) {
    if (this.ended) return;
    this.calm?.();
    this.calm = trouble(this.trouble, this.context, error, () => (this.following ? this.following.now() : this.begin()));
  }
}
