// Plays what befalls a page whose node restarts, lies or refuses: the scenario named on the command line, in a time that runs a
// hundred times faster; what happened is JSON on standard output.

import { pathToFileURL } from "node:url";

const [root, scenario] = process.argv.slice(2);
const load = (name) => import(pathToFileURL(`${root}/lib/${name}.js`).href);

const FASTER = 100;
const { now } = Date;
const later = globalThis.setTimeout;
const began = now();
Date.now = () => began + (now() - began) * FASTER;
globalThis.setTimeout = (call, ms) => later(call, ms / FASTER);
const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

async function until(holds) {
  for (let tries = 0; tries < 2_000; tries += 1) {
    if (holds()) return true;
    await pause(100);
  }
  return false;
}

/** A node that is down for a while, and knows no session from before. */
async function restart() {
  const { subscribe } = await load("stream");
  const world = { up: true, sessions: 1, open: null, states: [], power: 0, closed: 0 };
  globalThis.location = { href: "http://127.0.0.1:1/" };
  globalThis.WebSocket = class {
    constructor() { setTimeout(() => (world.up ? this.onopen() : this.onclose()), 5); }

    send(text) {
      const good = JSON.parse(text).token === `session ${world.sessions}`;
      const said = good ? { kind: "subscribed", height: 10 } : { kind: "problem", code: "SESSION_UNKNOWN" };
      world.open = this;
      setTimeout(() => { this.onmessage({ data: JSON.stringify(said) }); }, 5);
    }

    close() { setTimeout(() => this.onclose(), 1); }
  };
  let held = 1;
  const api = {
    base: "", token: async () => `session ${held}`, ask: async () => ({ certified_height: 9 }),
    close() { held = world.sessions; world.closed += 1; },
  };
  const stop = subscribe(api, ["power"], () => { world.power += 1; }, { onState: (state) => world.states.push(state) });
  const live = () => world.states.at(-1) === "live";
  const told = { before: await until(live) };
  world.up = false;
  world.open.close();
  told.polled = await until(() => world.states.at(-1) === "polling");
  Object.assign(world, { up: true, sessions: 2 });
  told.after = await until(live);
  world.open.onmessage({ data: JSON.stringify({ kind: "power", data: {} }) });
  stop();
  return { ...told, power: world.power, closed: world.closed };
}

/** A node that names a height far ahead, and refuses what it is given without proof. */
async function refusal() {
  const [{ Signer }, { Problem }] = await Promise.all(["sign", "api"].map(load));
  const payloads = [];
  const answers = ["FUNDS_LACKING", "FUNDS_LACKING", "NONCE_USED", "FUNDS_LACKING"];
  const api = {
    async ask(path) { return path.startsWith("/v1/nonces") ? { highest: 7 } : { executed_height: 1_000_000, certified_height: 1_000_000 }; },
    async post(path, { payload }) {
      payloads.push(JSON.parse(payload));
      throw new Problem(answers[payloads.length - 1], "No.", 422);
    },
  };
  const trust = { genesis: { id: "00", channel: "main" }, newest: { height: 50 } };
  const key = { signer: "aa", publicKeyText: "", sign: async () => new Uint8Array(64) };
  const signer = new Signer(api, trust, () => key);
  for (const _ of answers) await signer.invoke("market", "cancel_order", {}).catch((error) => error.code);
  return { expiries: payloads.map((each) => each.expires_at_height), nonces: payloads.map((each) => each.nonce) };
}

/** A node whose book shows a listing otherwise than its certified row has it: what each field of it comes to. */
async function listing() {
  const { listingAsShown } = await import(pathToFileURL(`${root}/acts/shown.js`).href);
  const row = ["l-7", 500, 100, "north"];
  const asked = [];
  const api = { async ask(path) { asked.push(path); return { proof: {} }; } };
  const trust = { genesis: {}, newest: null, judge: async () => ({ height: 9, value: row }) };
  const shown = { listing: "l-7", zone: "north", price: 1200, lot_wh: 100 };
  const told = {};
  for (const [field, value] of [["nothing", 0], ["lot_wh", 10], ["zone", "south"]]) {
    told[field] = await listingAsShown({ api, trust }, { ...shown, [field]: value }, 42).then(() => "", (error) => error.code);
  }
  return { told, asked };
}

process.stdout.write(JSON.stringify(await { restart, refusal, listing }[scenario]()));
process.exit();
