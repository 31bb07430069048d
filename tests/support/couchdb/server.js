"use strict";
/* A server that speaks CouchDB's protocol, for tests and demonstrations where no CouchDB runs.
 *
 * PouchDB's pieces from the npm registry do the storing; what is ours is round them: basic authentication, /_up,
 * CouchDB's rules for names of databases, its limit of a document, the refusal of a whole _bulk_docs for one bad
 * document, and bookmarks. It is CouchDB-compatible, not CouchDB: it rounds integers above 2^53, sorts by code
 * unit, and words its reasons differently.
 *
 * node server.js DIRECTORY PORT; COUCHDB_USER and COUCHDB_PASSWORD are the administrator's, COUCHDB_VERSION the
 * version that it claims. PORT 0 takes a free one. The first line that it prints is the address it listens on.
 * It ends when its standard input closes, so that it never outlives who started it.
 */

const crypto = require("crypto");
const fs = require("fs");
const path = require("path");
const express = require("express");
const PouchDB = require("pouchdb-core")
  .plugin(require("pouchdb-adapter-leveldb"))
  .plugin(require("pouchdb-mapreduce"));

const DOCUMENT_BYTES_MAX = 8000000;
const REQUEST_BYTES_MAX = 64 * 1024 * 1024;
const ROWS_UNLESS_TOLD = 25;
const DATABASE_NAME = /^[a-z][a-z0-9_$()+/-]*$/;
const KNOWN_FIELDS = new Set(["_id", "_rev", "_deleted", "_attachments", "_revisions"]);

const directory = path.resolve(process.argv[2]);
const port = Number(process.argv[3] || 0);
const user = process.env.COUCHDB_USER || "admin";
const password = process.env.COUCHDB_PASSWORD || "";
const version = process.env.COUCHDB_VERSION || "3.0.0";
const expected = crypto.createHash("sha256").update(`${user}:${password}`).digest();

if (!password) {
  process.stderr.write("COUCHDB_PASSWORD is not set: CouchDB does not start without an administrator\n");
  process.exit(2);
}
fs.mkdirSync(directory, { recursive: true });

function answer(res, status, body) {
  res.status(status).json(body);
}

function refuse(res, status, error, reason) {
  answer(res, status, { error, reason });
}

function isAdministrator(req) {
  const [scheme, token] = (req.headers.authorization || "").split(" ");
  if ((scheme || "").toLowerCase() !== "basic" || !token) return false;
  const given = crypto.createHash("sha256").update(Buffer.from(token, "base64")).digest();
  return crypto.timingSafeEqual(given, expected);
}

/* What CouchDB says of a document that it will not store, or nothing. */
function fault(doc) {
  if (doc === null || typeof doc !== "object" || Array.isArray(doc)) {
    return [400, "bad_request", "Document must be a JSON object"];
  }
  for (const field of Object.keys(doc)) {
    if (field.startsWith("_") && !KNOWN_FIELDS.has(field)) {
      return [400, "doc_validation", `Bad special document member: ${field}`];
    }
  }
  if (doc._id !== undefined) {
    if (typeof doc._id !== "string") return [400, "illegal_docid", "Document id must be a string"];
    if (doc._id === "") return [400, "illegal_docid", "Document id must not be empty"];
    if (doc._id.startsWith("_") && !/^_(design|local)\//.test(doc._id)) {
      return [400, "illegal_docid", "Only reserved document ids may start with underscore."];
    }
  }
  if (Buffer.byteLength(JSON.stringify(doc)) > DOCUMENT_BYTES_MAX) {
    return [413, "document_too_large", String(doc._id)];
  }
  return null;
}

function readBookmark(bookmark) {
  if (!bookmark || bookmark === "nil") return 0;
  const place = Number(Buffer.from(String(bookmark), "base64url").toString());
  return Number.isSafeInteger(place) && place >= 0 ? place : null;
}

const app = express();
app.disable("x-powered-by");

app.get("/", (req, res) =>
  answer(res, 200, { couchdb: "Welcome", version, vendor: { name: "Wattquorum tests: CouchDB-compatible" } })
);
app.get("/_up", (req, res) => answer(res, 200, { status: "ok", seeds: {} }));

app.use((req, res, next) => {
  if (isAdministrator(req)) return next();
  const known = req.headers.authorization !== undefined;
  return refuse(res, 401, "unauthorized", known ? "Name or password is incorrect." : "You are not a server admin.");
});

app.use((req, res, next) => {
  const body = req.method === "POST" && Number(req.headers["content-length"] || 0) > 0;
  if (body && !(req.headers["content-type"] || "").startsWith("application/json")) {
    return refuse(res, 415, "bad_content_type", "Content-Type must be application/json");
  }
  return next();
});

app.use((req, res, next) => {
  express.json({ limit: REQUEST_BYTES_MAX, strict: false })(req, res, (error) => {
    if (!error) return next();
    if (error.status === 413) return refuse(res, 413, "too_large", "the request entity is too large");
    return refuse(res, 400, "bad_request", "invalid UTF-8 JSON");
  });
});

app.put("/:db", (req, res, next) => {
  if (DATABASE_NAME.test(req.params.db)) return next();
  return refuse(res, 400, "illegal_database_name", `Name: '${req.params.db}'.`);
});

/* PouchDB keeps every revision's number anyway; CouchDB's bound on them is accepted and has no effect. */
app.put("/:db/_revs_limit", (req, res) => answer(res, 200, { ok: true }));

app.post("/:db/_bulk_docs", (req, res, next) => {
  const docs = req.body && req.body.docs;
  if (!Array.isArray(docs)) return refuse(res, 400, "bad_request", "POST body must include `docs` parameter.");
  for (const doc of docs) {
    const why = fault(doc);
    if (why) return refuse(res, ...why);
  }
  return next();
});

app.put("/:db/:doc", (req, res, next) => {
  const why = req.params.doc.startsWith("_") ? null : fault(req.body);
  return why ? refuse(res, ...why) : next();
});

app.post("/:db/_find", (req, res, next) => {
  const query = req.body;
  if (!query || typeof query.selector !== "object" || query.selector === null) {
    return refuse(res, 400, "missing_required_key", "Missing required key: selector");
  }
  const place = readBookmark(query.bookmark);
  if (place === null) return refuse(res, 400, "invalid_bookmark", "Invalid bookmark value");
  delete query.bookmark;
  if (query.limit === undefined) query.limit = ROWS_UNLESS_TOLD;
  query.skip = (query.skip || 0) + place;
  const json = res.json.bind(res);
  const send = res.send.bind(res);
  const marked = (body) => {
    const tree = typeof body === "string" || Buffer.isBuffer(body) ? JSON.parse(body) : body;
    if (tree && Array.isArray(tree.docs)) {
      tree.bookmark = tree.docs.length ? Buffer.from(String(place + tree.docs.length)).toString("base64url") : "nil";
    }
    return tree;
  };
  res.json = (body) => json(marked(body));
  res.send = (body) => {
    res.send = send;
    return send(JSON.stringify(marked(body)));
  };
  return next();
});

const Database = PouchDB.defaults({ prefix: directory + path.sep, adapter: "leveldb" });
app.use(
  require("express-pouchdb")(Database, { mode: "minimumForPouchDB", overrideMode: { include: ["routes/find"] } })
);

const server = app.listen(port, "127.0.0.1", () => {
  process.stdout.write(`http://127.0.0.1:${server.address().port}\n`);
});
server.keepAliveTimeout = 60000;
server.on("error", (error) => {
  process.stderr.write(`${error.message}\n`);
  process.exit(1);
});
process.stdin.on("end", () => process.exit(0));
process.stdin.resume();
