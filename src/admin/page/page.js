// The status page: it listens to /-/api/events and shows what comes. It asks nobody else and changes nothing.
"use strict";

const $ = id => document.getElementById(id);
const STAGES = {
  accepted: ["queued", "accepted"], queued: ["queued", "queued"], resolving: ["name", "looking up the name"], connecting: ["connect", "connecting"],
  greeting: ["hop", "asking the hop"], handshaking: ["tls", "TLS"], "sending-head": ["sending", "sending"], "sending-body": ["sending", "sending"],
  "awaiting-head": ["waiting", "waiting for the answer"], "receiving-body": ["receiving", "receiving"],
};
const LEGEND = [["queued", "queued"], ["name", "name"], ["connect", "connect"], ["hop", "hop"], ["tls", "TLS"], ["sending", "sending"], ["waiting", "waiting"], ["receiving", "receiving"]];
const VERDICTS = {
  "path-drops": "the path drops what is sent", "path-mtu": "the path drops large segments", "peer-not-reading": "the server stopped reading",
  "no-answer": "the server has the complete request and does not answer", "client-idle": "the client stopped sending or reading",
  "answer-stopped": "the response stopped midway", "never-connected": "no connection was established", throttled: "slower than the floor",
};
const MARKS = { healthy: "M4 12.5l5.5 5.5L20 6.5", degraded: "M12 4v10M12 19v.5", failing: "M6 6l12 12M18 6L6 18" };

// What the daemon said last, and when, by this machine's clock.
const state = {};
let heard = 0;
let ahead = 0;

// --- numbers for people ---

function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (n >= 1000 && at < units.length - 1) { n /= 1024; at += 1; }
  return `${at === 0 || n >= 100 ? Math.round(n) : n.toFixed(1)}\u00a0${units[at]}`;
}
const rate = n => `${bytes(n)}/s`;
function span(ms) {
  if (ms < 1000) return `${Math.round(ms)}\u00a0ms`;
  const s = ms / 1000;
  if (s < 10) return `${s.toFixed(1)}\u00a0s`;
  if (s < 60) return `${Math.floor(s)}\u00a0s`;
  const pair = (value, base, large, small) => `${Math.floor(value / base)}${large}\u00a0${String(Math.floor(value % base)).padStart(2, "0")}${small}`;
  if (s < 3600) return pair(s, 60, "m", "s");
  return s < 86400 ? pair(s / 60, 60, "h", "m") : pair(s / 3600, 24, "d", "h");
}
const ago = ms => (ms < 5000 ? "just now" : `${span(ms)} ago`);
const many = (n, one, more) => `${n.toLocaleString("en")}\u00a0${n === 1 ? one : more || `${one}s`}`;
// The daemon's clock, now.
const now = () => Date.now() + ahead;
// How much older an age is than when it was said.
const since = () => Date.now() - heard;

// --- the page's elements; text only ever goes in as text ---

function make(tag, name, text) {
  const it = document.createElement(tag);
  if (name) it.className = name;
  if (text !== undefined) it.textContent = text;
  return it;
}
function svg(tag, values) {
  const it = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const key in values) it.setAttribute(key, values[key]);
  return it;
}
function put(it, text) { if (it.textContent !== text) it.textContent = text; }
// Text whose `words in backticks` are keys and commands.
function rich(it, text) {
  if (it.dataset.said === text) return it;
  it.dataset.said = text;
  it.replaceChildren(...text.split("`").map((part, at) => (at % 2 ? make("code", "", part) : part)));
  return it;
}
function name(it, text) { if (it.className !== text) it.className = text; }

function what(t) {
  if (t.what) return t.what;
  const path = t.path.split("?")[0];
  return t.method === "CONNECT" || !path ? "tunnel" : path;
}
function connection(t) {
  const more = t.segments?.length ? ` · over ${t.segments.length + 1} connections` : "";
  return `${t.host} · ${t.upstream ? `via ${t.upstream}` : t.route}${more}`;
}

// --- the timeline of one transfer ---

function segments(t, total, running) {
  const steps = t.timeline.stages;
  const parts = steps.map((step, at) => {
    const end = at + 1 < steps.length ? steps[at + 1].at_ms : total;
    return { stage: step.stage, attempt: step.attempt, again: at > 0 && step.attempt > steps[at - 1].attempt && step.attempt > 1,
      ms: Math.max(0, end - step.at_ms), last: running && at + 1 === steps.length };
  });
  // Sending a head and sending its body are one colour, and one thing to a reader.
  return parts.filter((it, at) => {
    const next = parts[at + 1];
    if (!next || next.again || STAGES[next.stage][0] !== STAGES[it.stage][0]) return true;
    next.ms += it.ms;
    next.again = it.again;
    return false;
  });
}
function fall(bar, t, total, still) {
  const parts = segments(t, total, still !== undefined);
  const key = parts.map(it => it.stage + it.attempt).join() + (still > 0);
  if (bar.dataset.key !== key) {
    bar.dataset.key = key;
    bar.replaceChildren();
    for (const it of parts) {
      if (it.again) bar.append(make("i", "again"));
      bar.append(make("i", `seg ${STAGES[it.stage][0]}`));
    }
    if (still > 0) bar.append(make("i", "seg still"));
  }
  const shown = bar.querySelectorAll(".seg");
  parts.forEach((it, at) => { shown[at].style.flexGrow = String(it.last ? Math.max(0, it.ms - (still || 0)) : it.ms); });
  if (still > 0) shown[shown.length - 1].style.flexGrow = String(still);
  const spoken = parts.filter(it => it.ms > 0).map(it => `${it.again ? `attempt ${it.attempt}: ` : ""}${STAGES[it.stage][1]} ${span(it.ms)}`).join(", ");
  bar.title = spoken;
  bar.setAttribute("aria-label", spoken || "no stage took a millisecond");
}
function spark(it, samples) {
  const top = Math.max(1, ...samples), step = 100 / (Math.max(samples.length, 20) - 1), from = 100 - (samples.length - 1) * step;
  const points = samples.map((n, at) => `${(from + at * step).toFixed(1)} ${(19 - (n / top) * 17).toFixed(1)}`);
  const line = points.length > 1 ? `M${points.join("L")}` : "";
  it.line.setAttribute("d", line);
  it.area.setAttribute("d", line && `${line}L100 20L${from.toFixed(1)} 20Z`);
}
function details(t) {
  const box = make("div", "more-of");
  const block = (title, rows) => {
    if (!rows.length) return;
    const part = make("div"), table = make("table");
    part.append(make("h3", "", title), table);
    for (const cells of rows) {
      const row = table.insertRow();
      for (const cell of cells) row.insertCell().append(cell instanceof Node ? cell : make("span", "num", cell));
    }
    box.append(part);
  };
  const words = text => rich(make("span"), text);
  block("Stages", segments(t, t.total_ms, false).map(it => [make("i", `dot ${STAGES[it.stage][0]}`), words(STAGES[it.stage][1]), span(it.ms), words(it.attempt > 1 ? `attempt ${it.attempt}` : "")]));
  block("Attempts", t.timeline.attempts.map(it => [`${it.attempt || "–"}`, words(it.upstream || ""), `${it.peer || ""}`,
    words(it.fault ? `${it.fault.cause} · ${it.fault.next}${it.fault.advice ? ` · ${it.fault.advice}` : ""}` : it.reused ? "over a reused connection" : "")]));
  block("Stalls", t.timeline.stalls.map(it => [span(it.idle_ms), words(`${it.leg}/${it.stage}`), words(`${it.verdict}: ${it.evidence} · ${it.advice}`)]));
  const beside = t.ended ? t.timeline.segments : t.segments || [], control = t.ended ? t.timeline.congestion : t.congestion;
  block("Connections", (control || beside.length ? [["to the origin", words(control || "")]] : []).concat(beside.map(it => ["for later ranges", words(`${it.congestion || ""} · ${bytes(it.received)}`)])));
  const kernel = side => side && side.kernel && `unacknowledged ${side.kernel.unacked} segments, retransmitted ${side.kernel.retransmitted}, window ${side.kernel.window ?? "?"} B, rto ${side.kernel.rto_ms} ms, mss ${side.kernel.mss}`;
  block("Sockets, from the kernel", [["to the client", t.client_socket], ["to the origin", t.origin_socket]].filter(([, it]) => it)
    .map(([who, it]) => [words(who), words(`${bytes(it.read)} read`), words(`${bytes(it.written)} written`), words(`${bytes(it.queued)} unacknowledged`), words(kernel(it) || "")]));
  block("Transfer", [["number", words(`#${t.id} · gitferry history ${t.id}`)], ["request", words(`${t.method} ${t.path || t.host}`)], ["client", words(`${t.client}${t.agent ? ` · ${t.agent}` : ""}`)],
    ["route", words(`${t.route}${t.circuit ? ` · ${t.circuit}` : ""}`)], ["began", words(new Date(t.began).toLocaleString())]]);
  return box;
}

// --- lists with one element for each number: kept, moved, filled ---

function list(parent, items, known, create, fill) {
  const ids = new Set(items.map(it => it.id));
  for (const [id, row] of known) if (!ids.has(id)) { row.it.remove(); known.delete(id); }
  let after = null;
  for (const item of items) {
    let row = known.get(item.id);
    if (!row) { row = create(item); known.set(item.id, row); }
    fill(row, item);
    const want = after ? after.nextSibling : parent.firstChild;
    if (want !== row.it) parent.insertBefore(row.it, want);
    after = row.it;
  }
}
function row(past) {
  const it = make("li", "row"), box = make("details"), head = make("summary");
  const to = make("div", "to"), title = make("p", "what"), verb = make("b", "verb"), thing = make("span", "thing"), tags = make("span", "tags"), path = make("p", "way");
  title.append(verb, thing, tags); to.append(title, path);
  const line = make("div", "line"), bar = make("div", "fall"), stage = make("div", "stage"), left = make("span"), right = make("span", "num");
  bar.setAttribute("role", "img"); stage.append(left, right); line.append(bar, stage);
  const amount = make("div", "amount"), big = make("p", "b num"), small = make("p", "s num"); amount.append(big, small);
  const pace = make("div", "pace"), speed = make("p", "s num"), drawn = svg("svg", { class: "spark", viewBox: "0 0 100 20", preserveAspectRatio: "none", "aria-hidden": "true" });
  const area = svg("path", { class: "area" }), curve = svg("path", {}), meter = make("div", "bar"), done = make("i");
  drawn.append(area, curve); meter.append(done); pace.append(speed, past ? "" : drawn); if (!past) amount.append(meter);
  head.append(to, line, amount, pace); box.append(head); it.append(box);
  const made = { it, box, verb, thing, tags, path, bar, left, right, big, small, speed, line: curve, area, meter, done, drawn, why: null, shown: null };
  box.addEventListener("toggle", () => { if (box.open) open(made); else if (made.shown) { made.shown.remove(); made.shown = null; } });
  return made;
}
function open(r) {
  if (!r.box.open || !r.item) return;
  const shown = details(r.item);
  if (r.shown) r.shown.replaceWith(shown); else r.box.append(shown);
  r.shown = shown;
}
function fillRunning(r, t) {
  r.item = t;
  const older = since(), total = t.total_ms + older, acts = t.stall, idle = acts ? (t.idle_ms || 0) + older : 0;
  name(r.it, acts ? "row stalled" : "row");
  put(r.verb, t.method); put(r.thing, what(t)); put(r.path, connection(t));
  r.path.title = `${t.method} ${t.path}`;
  fall(r.bar, t, total, idle);
  put(r.left, acts ? `stalled: ${t.stall}` : `${STAGES[t.stage][1]}${t.attempts > 1 ? ` · attempt ${t.attempts}` : ""}`);
  const acting = acts ? span(idle) : span(total);
  const up = t.up >= t.down, done = up ? t.up : t.down, all = up ? t.up_total : t.down_total, speed = t.up_rate + t.down_rate;
  put(r.big, `${done ? (up ? "↑\u00a0" : "↓\u00a0") : ""}${bytes(done)}`);
  put(r.small, all ? `${Math.min(100, Math.floor(done / all * 100))}\u00a0% of ${bytes(all)}` : "");
  r.meter.hidden = !all;
  if (all) r.done.style.width = `${Math.min(100, done / all * 100).toFixed(1)}%`;
  put(r.speed, speed ? rate(speed) : acts ? "0\u00a0B/s" : "");
  put(r.right, t.left_ms && !acts ? `${acting} · ${span(t.left_ms)} left` : acting);
  spark(r, t.rates);
  const stall = acts && t.timeline.stalls[t.timeline.stalls.length - 1];
  if (stall && !stall.over) {
    if (!r.why) { r.why = make("div", "why"); r.why.append(make("b"), make("span"), make("p", "advice")); r.it.append(r.why); }
    put(r.why.children[0], `${VERDICTS[t.stall] || t.stall}: `); put(r.why.children[1], stall.evidence.replace(/^[^;:]*[;:] /, "")); rich(r.why.children[2], stall.advice);
  } else if (r.why) { r.why.remove(); r.why = null; }
}
function fillFinished(r, t) {
  put(r.right, `${ago(now() - Date.parse(t.ended))}`);
  if (r.item) return;
  r.item = t;
  name(r.it, t.failed || t.refused ? "row failed" : "row");
  put(r.verb, t.method); put(r.thing, what(t)); put(r.path, connection(t));
  r.path.title = `${t.method} ${t.path}`;
  for (const rescue of t.failed || t.refused ? [] : t.timeline.rescues) r.tags.append(make("span", "tag", rescue === "failover" ? "saved by failover" : `saved by ${rescue}`));
  fall(r.bar, t, t.total_ms);
  put(r.left, t.failed ? t.result : t.status ? `${t.status}${t.attempts > 1 ? ` · ${many(t.attempts, "attempt")}` : ""}` : t.result);
  const up = t.up >= t.down, done = up ? t.up : t.down;
  put(r.big, done ? `${up ? "↑" : "↓"}\u00a0${bytes(done)}` : "–"); put(r.speed, span(t.total_ms));
  put(r.small, done > 65536 && t.total_ms > 0 ? rate(done / t.total_ms * 1000) : "");
}

// --- the parts of the page ---

function verdict() {
  const it = state.verdict;
  name($("verdict"), `verdict ${it.level}`);
  $("verdict-mark").setAttribute("d", MARKS[it.level]);
  put($("verdict-text"), it.text);
  document.title = it.level === "healthy" ? "gitferry" : `⚠ ${it.text} – gitferry`;
  age();
}
function age() {
  const it = state.verdict;
  if (!it) return;
  const from = it.since ? `For ${span(Math.max(0, now() - Date.parse(it.since)))}. ` : "";
  rich($("verdict-more"), `${from}${it.advice ? `→ ${it.advice}` : it.level === "healthy" ? `${state.running ? `${many(state.running, "transfer")} running` : "No running transfers"}, no upstream is at fault.` : ""}`);
  put($("about"), `${state.version} · up ${span(state.uptime_s * 1000 + since())} · ${state.listen.join(", ")}`);
}
function tiles() {
  const sum = key => state.totals.reduce((all, it) => all + it[key], 0);
  const tile = (k, v, s, more) => { const it = make("div", `tile ${more || ""}`); it.append(make("p", "k", k), make("p", "v num", v), make("p", "s", s)); return it; };
  const saved = sum("rescued"), pushes = sum("rescued_pushes"), means = [["retry", "by_retry"], ["replay", "by_replay"], ["resume", "by_resume"], ["failover", "by_failover"]];
  const by = means.filter(([, key]) => sum(key)).map(([word, key]) => `${sum(key)} by ${word}`).join(", ");
  const count = sum("transfers"), stalls = sum("stalls");
  const say = pushes ? `saved you ${many(pushes, "failed push", "failed pushes")}` : saved ? `saved you ${many(saved, "failed request")}` : "nothing needed rescuing";
  $("tiles").replaceChildren(
    tile("Sent today", bytes(sum("up")), `in ${many(sum("transfers"), "transfer")}`), tile("Received today", bytes(sum("down")), `over ${many(state.totals.length, "route")}`),
    tile("Rescued today", saved.toLocaleString("en"), by ? `${say}: ${by}` : say, saved ? "saved" : ""),
    tile("Failed today", sum("failed").toLocaleString("en"), `of ${many(count, "transfer")}${stalls ? `, ${many(stalls, "stall")}` : ""}`));
}
function totals() {
  const table = $("totals"), head = ["Route", "Sent", "Received", "Transfers", "Retry", "Replay", "Resume", "Failover", "Failed"];
  $("totals-none").hidden = state.totals.length > 0;
  table.replaceChildren();
  if (!state.totals.length) return;
  const top = table.createTHead().insertRow();
  for (const title of head) { const cell = make("th", "", title); cell.scope = "col"; top.append(cell); }
  const body = table.createTBody();
  for (const it of state.totals) {
    const line = body.insertRow();
    for (const cell of [it.route, bytes(it.up), bytes(it.down), it.transfers, it.by_retry, it.by_replay, it.by_resume, it.by_failover, it.failed]) line.insertCell().append(make("span", "num", cell === 0 ? "–" : String(cell)));
  }
}
function faults() {
  const groups = new Map();
  for (const it of state.faults) {
    const key = [it.code, it.host, it.upstream].join(" ");
    const known = groups.get(key);
    if (known) known.count += 1; else groups.set(key, { it, count: 1 });
  }
  const shown = [...groups.values()].slice(0, 12);
  put($("faults-count"), shown.length ? `the last ${state.faults.length}, grouped` : "");
  $("faults-none").hidden = shown.length > 0;
  $("faults").replaceChildren(...shown.map(({ it, count }) => {
    const line = make("li"), head = make("p");
    head.append(make("span", "code", it.code), make("span", "times", ` · ${it.host === "-" ? "no host" : it.host}${it.upstream ? ` via ${it.upstream}` : ""} · ${count > 1 ? `${count} times, last ` : ""}${ago(it.s_ago * 1000 + since())}`));
    const cause = it.cause.startsWith(it.code) ? it.cause.slice(it.code.length).replace(/^[ :]+/, "") : it.cause;
    line.append(head);
    if (cause) line.append(make("p", "times", cause));
    if (it.advice) line.append(rich(make("p", "advice"), it.advice));
    return line;
  }));
}
function map() {
  const seen = it => it.health !== "unused" || it.circuits.length;
  let ups = state.upstreams.filter(seen);
  if (!ups.length) ups = state.upstreams.filter(it => it.hosts.length);
  const connectionOf = it => (it.mirror ? `${it.hop || "direct"} to ${it.mirror}` : it.hop || "direct");
  const connections = [...new Set(ups.map(connectionOf))], routes = [...new Set(ups.map(it => it.route))];
  const worst = list => ["failing", "degraded", "healthy", "unused"].find(health => list.some(it => it.health === health)) || "unused";
  // A connection that works for one route and fails for another is not broken as a whole.
  const overall = list => (worst(list) === "failing" && list.some(it => it.health === "healthy") ? "degraded" : worst(list));
  const wide = Math.max(300, $("map").clientWidth), small = wide < 560, h = small ? 46 : 50, gap = 10, pad = small ? 8 : 18;
  const w = Math.min(220, (wide - 2 * pad) * 0.29), rows = Math.max(connections.length, routes.length, 1), tall = rows * (h + gap) - gap;
  const picture = svg("svg", { width: wide, height: tall + 4, viewBox: `0 -2 ${wide} ${tall + 4}`, role: "img" });
  const spoken = ups.map(it => `${it.route} over ${connectionOf(it)}: ${it.health}`).join("; ");
  picture.setAttribute("aria-label", spoken || "no route in use");
  const place = (count, at) => (tall - count * (h + gap) + gap) / 2 + at * (h + gap);
  const line = (x1, y1, x2, y2, list) => picture.append(svg("path", { class: `${overall(list)}${list.some(it => it.running) ? " used" : ""}`, d: `M${x1} ${y1}C${(x1 + x2) / 2} ${y1} ${(x1 + x2) / 2} ${y2} ${x2} ${y2}` }));
  const x = [pad, (wide - w) / 2, wide - pad - w], cut = (text, room) => (text.length > room ? `${text.slice(0, room - 1)}…` : text), room = Math.floor((w - 26) / 7);
  connections.forEach((it, at) => line(x[0] + w, tall / 2, x[1], place(connections.length, at) + h / 2, ups.filter(up => connectionOf(up) === it)));
  for (const up of ups) line(x[1] + w, place(connections.length, connections.indexOf(connectionOf(up))) + h / 2, x[2], place(routes.length, routes.indexOf(up.route)) + h / 2, [up]);
  const node = (left, top, title, sub, list) => {
    picture.append(svg("rect", { x: left, y: top, width: w, height: h, rx: 9 }));
    const t = svg("text", { x: left + 12, y: top + h / 2 - 3 }), s = svg("text", { x: left + 12, y: top + h / 2 + 14, class: "s" }), tip = svg("title", {});
    t.textContent = cut(title, room); s.textContent = cut(sub, room + 2); tip.textContent = `${title}: ${sub}`; t.append(tip); picture.append(t, s);
    if (list) picture.append(svg("circle", { cx: left + w - 12, cy: top + 13, r: 4.5, class: overall(list) }));
  };
  node(x[0], tall / 2 - h / 2, small ? "clients" : "git, git-lfs, ssh…", `${state.running} running`);
  const say = list => {
    const open = list.find(it => it.circuits.length), part = overall(list) === "degraded" && list.filter(it => it.health === "failing").map(it => it.route);
    return open ? `${open.circuits[0].state}: ${open.circuits[0].code}` : part && part.length ? `failing for ${part.join(", ")}` : worst(list);
  };
  connections.forEach((it, at) => { const list = ups.filter(up => connectionOf(up) === it); node(x[1], place(connections.length, at), it, say(list), list); });
  routes.forEach((it, at) => { const list = ups.filter(up => up.route === it); node(x[2], place(routes.length, at), it, list[0].hosts.join(", ") || "other hosts", [list.find(up => up.health === "healthy") || { health: worst(list) }]); });
  $("map").replaceChildren(picture);
}

const running = new Map(), finished = new Map();
function transfers() {
  // Stalled ones first, the rest in an order that does not jump.
  state.transfers.sort((a, b) => !a.stall - !b.stall || b.id - a.id);
  list($("transfers"), state.transfers, running, () => row(false), fillRunning);
  $("transfers-none").hidden = state.running > 0;
  put($("running-count"), state.running > state.transfers.length ? `${state.transfers.length} of ${state.running.toLocaleString("en")}, active ones first` : state.running ? state.running.toLocaleString("en") : "");
  for (const r of running.values()) if (r.shown) open(r);
}
function recent() {
  const shown = $("only-failed").checked ? state.recent.filter(it => it.failed || it.refused) : state.recent;
  list($("finished"), shown, finished, () => row(true), fillFinished);
  $("finished-none").hidden = shown.length > 0;
  put($("recent-count"), shown.length ? `the last ${shown.length}` : "");
}
function setup() {
  const own = location.origin, host = location.host;
  put($("setup-clone"), `git clone ${own}/huggingface.co/USER/REPO\nexport HF_ENDPOINT=${own}/huggingface.co`);
  put($("setup-proxy"), `export HTTPS_PROXY=http://${host}\ngit config --global http.https://huggingface.co/.proxy http://${host}`);
  put($("config"), `config: ${state.config || "embedded default"}`);
  fetch("/-/api/daemon").then(it => it.json()).then(it => put($("setup-print"), it.ca_sha256 ? `SHA-256 ${it.ca_sha256}` : "")).catch(() => {});
}

// --- the stream ---

const PARTS = [[["verdict"], verdict], [["totals"], tiles], [["totals"], totals], [["transfers", "running"], transfers], [["recent"], recent], [["upstreams", "running"], map], [["faults"], faults]];
let drawing = false;
let changed = new Set();
function draw() {
  drawing = false;
  const these = changed;
  changed = new Set();
  for (const [keys, part] of PARTS) if (keys.some(key => these.has(key))) part();
  if (connected) age(); else live(false);
}
function take(data) {
  heard = Date.now();
  ahead = Date.parse(data.now) - heard;
  const first = state.api === undefined;
  for (const key in data) { state[key] = data[key]; changed.add(key); }
  if (first) { $("main").hidden = false; setup(); }
  if (!drawing) { drawing = true; requestAnimationFrame(draw); }
}
let connected = false;
function live(on) {
  connected = on;
  $("live").hidden = false;
  name($("live"), `live ${on ? "on" : "off"}`);
  put($("live"), on ? "live" : "not connected");
  document.body.classList.toggle("old", !on);
  if (on || state.api === undefined) return;
  // What was true when the daemon was last heard must not look like what is true now.
  name($("verdict"), "verdict degraded");
  $("verdict-mark").setAttribute("d", MARKS.degraded);
  put($("verdict-text"), "The daemon does not answer");
  rich($("verdict-more"), `Everything below is from ${new Date(heard).toLocaleTimeString()}. → start it with \`gitferry run\` or \`gitferry service start\``);
  document.title = "⚠ not connected – gitferry";
}

for (const [kind, word] of LEGEND) { const it = make("li"); it.append(make("i", kind), word); $("legend").append(it); }
$("only-failed").addEventListener("change", () => state.recent && recent());
new ResizeObserver(() => state.upstreams && map()).observe($("main"));
const stream = new EventSource("/-/api/events");
stream.addEventListener("overview", event => { live(true); take(JSON.parse(event.data)); });
stream.addEventListener("error", () => live(false));
// Ages go on between two events.
setInterval(() => {
  if (!connected || state.api === undefined) return;
  age();
  if (state.transfers.some(it => !it.up_rate && !it.down_rate)) transfers();
}, 1000);
setInterval(() => { if (connected && state.api !== undefined) { recent(); faults(); } }, 10000);
