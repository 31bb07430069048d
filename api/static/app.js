// The plain first page: this node, its replicas, the market without names, the newest blocks.
// Everything is asked of the node again each second; text only ever enters the page as text.

const REFRESH_MS = 1000;
const INTERVAL_S = 900;
const BLOCKS_SHOWN = 12;
const AHEAD = 2; // intervals from now to the delivery that is shown until somebody chooses another

const at = (id) => document.getElementById(id);
let interval = null;
let chosen = false;

async function ask(path) {
  const response = await fetch(path, { headers: { Accept: "application/json" } });
  const body = await response.json();
  if (!response.ok) throw new Error(body.detail ?? response.statusText);
  return body;
}

function cell(text, className = "") {
  const td = document.createElement("td");
  td.textContent = text;
  td.className = className;
  return td;
}

function fill(id, rows, columns, empty) {
  const made = rows.map((cells) => {
    const tr = document.createElement("tr");
    tr.append(...cells);
    return tr;
  });
  if (made.length === 0) {
    const tr = document.createElement("tr");
    const td = cell(empty);
    td.colSpan = columns;
    tr.append(td);
    made.push(tr);
  }
  at(id).replaceChildren(...made);
}

const number = (value) => value.toLocaleString();
const money = (micro) => (micro / 1e6).toFixed(4);
const moment = (ms) => new Date(ms).toLocaleString();

function showNode(status) {
  at("where").textContent = `${status.name} · channel ${status.channel} · chain ${status.chain.slice(0, 12)}…`;
  const facts = {
    "View": `${status.view}${status.view_active ? "" : " (changing)"}`,
    "Primary": status.primary,
    "Executed block": number(status.executed_height),
    "Certified block": number(status.certified_height),
    "Block time": moment(status.block_time_ms),
    "Waiting transactions": number(status.pool_transactions),
    "State root": `${status.state_root.slice(0, 16)}…`,
    "Version": status.version,
  };
  at("node").replaceChildren(...Object.entries(facts).map(([name, value]) => {
    const pair = document.createElement("div");
    const dt = document.createElement("dt");
    const dd = document.createElement("dd");
    dt.textContent = name;
    dd.textContent = value;
    pair.append(dt, dd);
    return pair;
  }));
  at("alarm").hidden = status.alarms.length === 0;
  at("alarm").textContent = status.alarms.join(" · ");
  fill("replicas", status.peers.map((peer) => [
    cell(peer.name),
    cell(peer.connected ? "connected" : "not connected", peer.connected ? "good" : "bad"),
    cell(number(peer.executed_height), "number"),
  ]), 3, "No other replicas.");
  if (!chosen) interval = Math.floor(status.block_time_ms / 1000 / INTERVAL_S) + AHEAD;
}

function showMarket(book) {
  at("interval").textContent = moment(book.interval * INTERVAL_S * 1000);
  const level = (row) => [cell(money(row.price), "number"), cell(number(row.energy_wh), "number")];
  fill("asks", book.asks.map(level), 2, "No asks.");
  fill("bids", book.bids.map(level), 2, "No bids.");
  fill("listings", book.listings.map((row) => [
    cell(money(row.price), "number"), cell(number(row.remaining_wh), "number"), cell(number(row.lot_wh), "number"),
  ]), 3, "No listings.");
}

function showBlocks(headers) {
  fill("blocks", headers.toReversed().map((header) => [
    cell(number(header.height), "number"),
    cell(moment(header.time_ms)),
    cell(number(header.transactions), "number"),
    cell(`${header.proposer}, ${header.view}`),
    cell(header.certified ? "certified" : "pending", header.certified ? "good" : ""),
    cell(`${(header.state_root ?? "").slice(0, 20)}…`, "root"),
  ]), 6, "No blocks yet.");
}

async function refresh() {
  try {
    showNode(await ask("/v1/status"));
    const [book, blocks] = await Promise.all([
      ask(`/v1/book/${interval}`),
      ask(`/v1/headers?limit=${BLOCKS_SHOWN}`),
    ]);
    showMarket(book);
    showBlocks(blocks.headers);
  } catch (error) {
    at("alarm").hidden = false;
    at("alarm").textContent = `The node does not answer: ${error.message}`;
  }
  setTimeout(refresh, REFRESH_MS);
}

at("earlier").addEventListener("click", () => { chosen = true; interval -= 1; });
at("later").addEventListener("click", () => { chosen = true; interval += 1; });
refresh();
