/* The inbox page: shows the list and keeps it equal to the hub's (docs/protocol.md, section 7). */

const PAGE = 20;
const SILENCE = 75_000; // ms without a frame, while the server pings every 30 s: a dead socket
const FIRST_WAIT = 1_000; // ms, doubled at each failure
const LONGEST_WAIT = 30_000;
const ACK_PAUSE = 300; // ms: many arrivals are acknowledged together

const $ = (id) => document.getElementById(id);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/* The client's copy. */

const rows = new Map(); // id → notification
const gone = new Set(); // deleted ids: an older answer still under way must not bring them back
let counters = { unread: 0, unseen: 0 };
let cursor = null; // {epoch, version, page}; null: the list has to be loaded
let oldest = 0; // the id down to which pages were loaded; 0: there are no more
let generation = 0; // counts loads of the list: what was asked before the last one is dropped

function put(row) {
  if (!gone.has(row.id) && !(rows.get(row.id)?.version >= row.version)) rows.set(row.id, row);
}

function remove(id) {
  rows.delete(id);
  gone.add(id);
}

function takePage(page) {
  page.results.forEach(put);
  oldest = page.next ? page.results.at(-1).id : 0;
}

async function load() {
  const page = await call("GET", `/api/notifications/?limit=${PAGE}`);
  generation += 1;
  rows.clear();
  gone.clear();
  takePage(page);
  cursor = { epoch: page.epoch, version: page.version, page: null };
  show();
}

const STATES = {
  seen: (row, at) => ({ seen_at: row.seen_at ?? at }),
  read: (row, at) => ({ seen_at: row.seen_at ?? at, read_at: row.read_at ?? at }),
  unread: () => ({ read_at: null }),
  archived: (row, at) => ({ archived_at: row.archived_at ?? at }),
  expired: (row, at) => ({ expired_at: row.expired_at ?? at }),
};

function reaches(frame, row) {
  if (frame.ids) return frame.ids.includes(row.id);
  const open = !row.archived_at && !row.expired_at && row.arrived <= frame.up_to;
  return open && (!frame.type || row.event.type.name === frame.type);
}

function mark(frame) {
  for (const row of rows.values()) {
    if (row.version >= frame.version || !reaches(frame, row)) continue;
    const change = STATES[frame.state]?.(row, frame.at) ?? {};
    const altered = Object.keys(change).some((key) => change[key] !== row[key]);
    if (altered) rows.set(row.id, { ...row, ...change, version: frame.version });
  }
}

/* REST. */

async function call(method, path, body) {
  const token = /(?:^|; )csrftoken=([^;]*)/.exec(document.cookie)?.[1] ?? "";
  const headers = { Accept: "application/json", "X-CSRFToken": token };
  if (body && !(body instanceof FormData)) {
    headers["Content-Type"] = "application/json";
    body = JSON.stringify(body);
  }
  const answer = await fetch(path, { method, headers, body }).catch(() => {
    throw new Error("The hub cannot be reached.");
  });
  if (answer.status === 401 || answer.redirected) logIn();
  const data = await answer.json().catch(() => ({}));
  if (answer.ok) return data;
  const problem = new Error(data.detail ?? `The hub answered ${answer.status}.`);
  throw Object.assign(problem, { status: answer.status });
}

function logIn() {
  location.assign(`/login/?next=${encodeURIComponent(location.pathname)}`);
}

/** Does what a person asked for; what goes wrong is said in words. */
async function attempt(action) {
  say($("problem"), "");
  await action().catch((problem) => say($("problem"), problem.message));
  show();
}

/** Asks about one notification, or a page; `take` gets the answer if it is still of use. */
async function ask(method, query, take) {
  const asked = generation;
  const answer = await call(method, `/api/notifications/${query}`).catch((problem) => {
    if (method !== "DELETE" || problem.status !== 404) throw problem; // deleted elsewhere: fine
  });
  if (asked === generation) take(answer);
}

const markAll = (state) =>
  call("POST", "/api/notifications/mark/", { state, up_to: cursor.version });

/* The socket. */

/** Opens a socket at the cursor and follows it; resolves when it has ended. */
function follow() {
  const query = new URLSearchParams({ since: cursor.page ?? cursor.version, epoch: cursor.epoch });
  const url = `${location.origin.replace("http", "ws")}/ws/notifications?${query}`;
  const socket = new WebSocket(url);
  const ended = { code: 1006, retryAfter: null, greeted: false };
  let epoch = null; // of this socket's last hello or sync
  let waiting = true; // for a sync, which covers the live frames that are dropped until it comes
  let acked = 0;
  let ackTimer = null;
  let watch = null;
  let over = false;

  return new Promise((resolve) => {
    const send = (frame) =>
      socket.readyState === WebSocket.OPEN && socket.send(JSON.stringify(frame));

    function end(code) {
      over = true;
      [watch, ackTimer].forEach(clearTimeout);
      document.removeEventListener("visibilitychange", ack);
      socket.onmessage = socket.onclose = null;
      socket.close();
      resolve({ ...ended, code });
    }

    function heard() {
      clearTimeout(watch);
      watch = setTimeout(() => end(1006), SILENCE);
    }

    function ack() {
      ackTimer ??= setTimeout(() => {
        ackTimer = null;
        const seen = document.visibilityState === "visible" && cursor && !waiting;
        if (!seen || cursor.version <= acked) return;
        acked = cursor.version;
        send({ action: "ack", version: acked });
      }, ACK_PAUSE);
    }

    function askFrom(version) {
      waiting = true;
      send({ action: "sync", since: version });
    }

    function applied(frame) {
      counters = { unread: frame.unread, unseen: frame.unseen };
      ack();
    }

    /** A handler of live frames: they are applied without holes, or not at all. */
    const step = (apply) => (frame) => {
      if (waiting || !cursor || frame.version <= cursor.version) return;
      if (frame.version > cursor.version + 1) return askFrom(cursor.version);
      apply(frame);
      cursor.version = frame.version;
      applied(frame);
    };

    const handlers = {
      hello(frame) {
        ended.greeted = true;
        epoch = frame.epoch;
        counters = { unread: frame.unread, unseen: frame.unseen };
        connection("on", "Live");
      },
      sync(frame) {
        if (!cursor) return; // a reset is under way
        epoch = frame.epoch;
        for (const change of frame.changes) change.deleted ? remove(change.id) : put(change);
        cursor = { epoch, version: frame.version, page: frame.more ? frame.cursor : null };
        waiting = frame.more;
        applied(frame);
      },
      new: step((frame) => {
        put(frame.notification);
        if (!frame.silent) $("news").textContent = `New: ${titleOf(frame.notification)}`;
      }),
      deleted: step((frame) => frame.ids.forEach(remove)),
      marked(frame) {
        if (frame.state !== "unarchived") return step(mark)(frame);
        // The list has no archived rows. What comes back is loaded with it, for a new socket.
        cursor = null;
        end(1006);
      },
      async reset(frame) {
        if (!cursor) return;
        cursor = null;
        acked = 0;
        await sleep(frame.retry_after * 1000);
        if (!over) await load().catch(() => end(1006));
        if (over) return;
        if (cursor.epoch === epoch) askFrom(cursor.version);
        else end(1006);
      },
      ping: () => send({ action: "pong" }),
      bye(frame) {
        ended.retryAfter = frame.retry_after;
      },
      error(frame) {
        console.warn("refused:", frame.code, frame.detail);
        if (waiting) end(1006); // the sync that was asked for will not come
      },
    };

    heard();
    document.addEventListener("visibilitychange", ack);
    socket.onclose = (event) => end(event.code);
    socket.onmessage = (event) => {
      heard();
      const frame = JSON.parse(event.data);
      if (Object.hasOwn(handlers, frame.action)) handlers[frame.action](frame);
      show();
    };
  });
}

async function run() {
  for (let failures = 0; ; failures += 1) {
    let retryAfter = null;
    try {
      if (!cursor) await load();
      const end = await follow();
      if (end.code === 4501) return logIn();
      if (end.code >= 4500 || end.code === 1009) {
        const why = end.code === 4502 ? "This account is open in too many pages" : "Refused";
        say($("problem"), `${why}: reload this page to make it live again.`);
        return connection("off", "Not live");
      }
      if (end.greeted) failures = 0;
      retryAfter = end.retryAfter;
    } catch (problem) {
      say($("problem"), problem.message);
    }
    connection("off", "Reconnecting…");
    const longest = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** failures);
    await sleep(retryAfter === null ? Math.random() * longest : retryAfter * 1000);
  }
}

/* What is seen. Texts of notifications become text nodes, never HTML. */

const items = new Map(); // id → its <li>
let planned = null;

function show() {
  planned ??= setTimeout(draw); // once for all that happens in one go
}

function draw() {
  planned = null;
  const list = $("list");
  const isOpen = (row) => !row.archived_at && !row.expired_at && row.id >= oldest;
  const shown = [...rows.values()].filter(isOpen).sort((a, b) => b.id - a.id);
  const wanted = new Set(shown.map((row) => row.id));
  for (const [id, item] of items) {
    if (wanted.has(id)) continue;
    const next = item.nextElementSibling ?? item.previousElementSibling;
    const focused = item.contains(document.activeElement);
    item.remove();
    items.delete(id);
    if (focused) (next?.querySelector(".delete") ?? $("list-title")).focus();
  }
  shown.forEach((row, place) => {
    const item = items.get(row.id) ?? makeItem(row);
    items.set(row.id, item);
    // Only what stands elsewhere is moved: moving an element takes the focus away from it.
    if (list.children[place] !== item) list.insertBefore(item, list.children[place] ?? null);
    item.classList.toggle("unread", !row.read_at);
    item.querySelector(".dot").textContent = row.read_at ? "" : "Unread: ";
    const button = item.querySelector(".read");
    if (row.read_at && button === document.activeElement) item.querySelector(".delete").focus();
    button.hidden = Boolean(row.read_at);
  });
  list.ariaBusy = String(!generation);
  $("empty").hidden = !generation || shown.length > 0 || oldest > 0;
  $("more").hidden = !oldest;
  $("read-all").disabled = !cursor || !counters.unread;
  $("unread").textContent = counters.unread ? `${counters.unread} unread` : "";
  $("bell").disabled = !cursor || !counters.unseen;
  $("bell").title = counters.unseen ? `${counters.unseen} new: mark as seen` : "Nothing new";
  $("bell-words").textContent = $("bell").title;
  $("badge").hidden = !counters.unseen;
  $("badge").textContent = counters.unseen > 99 ? "99+" : counters.unseen;
  document.title = `${counters.unseen ? `(${counters.unseen}) ` : ""}Inbox · Notification hub`;
}

function makeItem(row) {
  const { event } = row;
  const item = $("row").content.firstElementChild.cloneNode(true);
  const part = (name) => item.querySelector(`.${name}`);
  item.dataset.id = row.id;
  part("title").textContent = titleOf(row);
  // A link to a path or to http and https only, whatever stands in the notification.
  if (/^(https?:\/\/|\/(?![\/\\]))/i.test(event.url)) part("title").href = event.url;
  part("message").textContent = event.message;
  part("type").textContent = event.type.title;
  part("author").textContent = event.author ? `from ${event.author.name}` : "";
  part("time").dateTime = event.timestamp;
  part("time").textContent = new Date(event.timestamp).toLocaleString();
  for (const button of item.querySelectorAll("button")) {
    button.ariaLabel = `${button.textContent}: ${titleOf(row)}`;
  }
  return item;
}

function titleOf(row) {
  return row.event.title || row.event.type.title;
}

function say(place, words) {
  place.textContent = words;
  place.hidden = !words;
}

function connection(state, words) {
  $("connection").className = `connection ${state}`;
  if ($("connection").textContent !== words) $("connection").textContent = words;
  if (state === "on") say($("problem"), "");
}

/* What a person does. */

$("list").addEventListener("click", (event) => {
  const row = rows.get(Number(event.target.closest("li")?.dataset.id));
  if (!row) return;
  const path = `${row.id}/`;
  if (event.target.closest(".delete")) attempt(() => ask("DELETE", path, () => remove(row.id)));
  else if (!row.read_at) attempt(() => ask("PATCH", path, put));
});
$("more").addEventListener("click", () =>
  attempt(() => ask("GET", `?limit=${PAGE}&before=${oldest}`, takePage)),
);
$("read-all").addEventListener("click", () => attempt(() => markAll("read")));
$("bell").addEventListener("click", () => attempt(() => markAll("seen")));

$("send").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  say($("send-problem"), "");
  $("sent").textContent = "Sending…";
  try {
    await call("POST", form.getAttribute("action"), new FormData(form));
    $("title").value = $("message").value = "";
    $("sent").textContent = "Sent.";
  } catch (problem) {
    $("sent").textContent = "";
    say($("send-problem"), problem.message);
  }
});

run();
