// An APNs of ours on Node's http2, as hostile as Apple's has been seen to be.
//
// The first line of standard input is the set-up: {tls: {key, cert, ca?}, key?, streams?, latency?,
// refuses?}. Then it prints its port. Later lines are commands; each is answered by one line:
// {"do": "stats"}, {"do": "say", "answer": {status, body?, headers?} | null}, {"do": "set", ...}.
//
// What becomes of a message is chosen by the first two digits of its device token (MANNERS).
const crypto = require("node:crypto");
const http2 = require("node:http2");
const readline = require("node:readline");

const REFUSED = http2.constants.NGHTTP2_REFUSED_STREAM;
const GOAWAY_AT = 40; // streams under way

let config;
let publicKey;
let always = null; // an answer for everything, where a test says so
const stats = { connections: 0, requests: 0, refused: 0, most: 0, goaways: 0, faults: [] };
const tokens = new Set(); // signed ones
const taken = new Map(); // device token -> how often it was answered with 200
const came = []; // the last requests: headers and body
const limits = new WeakMap(); // session -> the limit on streams that was said last

function reject(status, reason, more = {}, headers = {}) {
  return (stream, session) => {
    respond(stream, status, JSON.stringify({ reason, ...more }), headers);
    if (config.refuses) lower(session);
  };
}

// Apple is reported to fall to one stream after each rejection, and to refuse what is under way.
function lower(session) {
  limit(session, 1);
  for (const other of [...session.open]) {
    if (!other.headersSent && !other.closed) {
      stats.refused += 1;
      other.close(REFUSED);
    }
  }
}

function limit(session, streams) {
  if (limits.get(session) === streams || session.destroyed) return;
  limits.set(session, streams);
  session.settings({ maxConcurrentStreams: streams });
}

function respond(stream, status, body, headers = {}) {
  if (stream.destroyed || stream.closed) return;
  const head = { ":status": status, "apns-id": stream.apnsId, ...headers };
  stream.respond(head, { endStream: !body });
  if (body) stream.end(body);
}

function accept(stream, session, device) {
  setTimeout(() => {
    if (stream.destroyed || stream.closed || session.destroyed) return;
    if (stream.id > session.last) return; // GOAWAY has said that it was not looked at
    taken.set(device, (taken.get(device) || 0) + 1);
    if (config.refuses) limit(session, config.streams);
    respond(stream, 200, "");
  }, config.latency);
}

// Up to the middle they are answered, the others were never looked at.
function goAway(stream, session) {
  session.leaving ??= [];
  session.leaving.push(stream);
  if (session.leaving.length < GOAWAY_AT) return;
  stats.goaways += 1;
  const ids = session.leaving.map((each) => each.id).sort((a, b) => a - b);
  const last = ids[GOAWAY_AT / 2 - 1];
  session.last = last;
  session.goaway(0, last);
  setTimeout(() => {
    for (const each of session.leaving) {
      if (each.id <= last) accept(each, session, each.device);
    }
    setTimeout(() => session.destroy(), 200 + config.latency);
  }, 20);
}

const MANNERS = {
  "29": reject(429, "TooManyRequests", {}, { "retry-after": "7" }),
  "40": reject(400, "BadDeviceToken"),
  "41": reject(410, "Unregistered", { timestamp: 1700000000000 }),
  "50": reject(500, "InternalServerError"),
  "5c": (stream) => stream.close(REFUSED),
  "5d": () => {}, // nothing, for ever
  "5e": (stream) => respond(stream, 503, ""), // an error without a body
  "5f": (stream) => {
    // a body in two frames
    if (stream.destroyed || stream.closed) return;
    stream.respond({ ":status": 400, "apns-id": stream.apnsId });
    stream.write('{"reason":"BadDe');
    setTimeout(() => stream.destroyed || stream.end('viceToken"}'), 20);
  },
  "6a": goAway,
  "6b": (stream, session, device) => {
    // refuses it once
    if (session.server.seen.has(device)) return accept(stream, session, device);
    session.server.seen.add(device);
    stream.close(REFUSED);
  },
};

function tokenFault(headers) {
  if (!publicKey) return null;
  const given = headers.authorization;
  if (!given) return "MissingProviderToken";
  const token = given.replace(/^bearer /i, "");
  tokens.add(token);
  const [head, claims, signature] = token.split(".");
  const signed = Buffer.from(`${head}.${claims}`);
  const raw = Buffer.from(signature, "base64url");
  const key = { key: publicKey, dsaEncoding: "ieee-p1363" };
  if (!crypto.verify("sha256", signed, key, raw)) return "InvalidProviderToken";
  const { iat } = JSON.parse(Buffer.from(claims, "base64url"));
  return Date.now() / 1000 - iat > 3600 ? "ExpiredProviderToken" : null;
}

function serve(stream, headers, session) {
  const parts = [];
  session.open.add(stream);
  stats.most = Math.max(stats.most, session.open.size);
  stream.on("close", () => session.open.delete(stream));
  stream.on("error", () => {});
  stream.on("data", (part) => parts.push(part));
  stream.on("end", () => {
    const device = (stream.device = headers[":path"].split("/").pop());
    stream.apnsId = headers["apns-id"] || crypto.randomUUID();
    const body = Buffer.concat(parts);
    stats.requests += 1;
    came.push({ headers: { ...headers }, body: body.toString() });
    if (came.length > 20) came.shift();
    const fault = tokenFault(headers);
    if (fault) return reject(403, fault)(stream, session);
    if (always) return respond(stream, always.status, always.body || "", always.headers);
    if (body.length > 4096) return reject(413, "PayloadTooLarge")(stream, session);
    (MANNERS[device.slice(0, 2)] || accept)(stream, session, device);
  });
}

function start() {
  publicKey = config.key && crypto.createPublicKey(config.key);
  const server = http2.createSecureServer({
    ...config.tls,
    requestCert: Boolean(config.tls.ca),
    rejectUnauthorized: Boolean(config.tls.ca),
    // Node would take its own hostility for an attack of ours.
    maxOutstandingSettings: 100000,
    maxSessionRejectedStreams: 100000,
    maxSessionInvalidFrames: 100000,
    settings: { maxConcurrentStreams: config.streams },
  });
  server.seen = new Set();
  server.on("session", (session) => {
    stats.connections += 1;
    session.server = server;
    session.open = new Set();
    session.last = Infinity;
    limits.set(session, config.streams);
    session.on("error", (error) => stats.faults.push(String(error.code)));
    session.on("stream", (stream, headers) => serve(stream, headers, session));
  });
  server.on("sessionError", () => {});
  server.on("tlsClientError", (error) => stats.faults.push(String(error.code)));
  server.on("unknownProtocol", (socket) => socket.destroy());
  server.listen(0, "127.0.0.1", () => say({ port: server.address().port }));
}

function obey(command) {
  if (command.do === "say") always = command.answer;
  if (command.do === "set") Object.assign(config, command.config);
  const counts = [...taken.values()];
  say({
    ...stats,
    tokens: tokens.size,
    taken: taken.size,
    twice: counts.filter((count) => count > 1).length,
    came,
  });
}

function say(value) {
  process.stdout.write(JSON.stringify(value) + "\n");
}

const lines = readline.createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const value = JSON.parse(line);
  if (config) return obey(value);
  config = { streams: 100, latency: 0, refuses: false, ...value };
  start();
});
lines.on("close", () => process.exit(0)); // whoever started it is gone
