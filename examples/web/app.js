// A chat and a dashboard on one socket, which comes back by itself.
// What arrives from the socket is only ever put on the page as text.

const $ = (id) => document.getElementById(id);
const polling = new URLSearchParams(location.search).get("transport") === "polling";
const address = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`;

const FIRST_DELAY = 500; // milliseconds; doubled with each failure
const LONGEST_DELAY = 30_000;
const STEADY = 5_000; // a connection that lasted so long counts as a success
const FIGURES_LATE = 10_000; // figures come every second: after so long a silence the connection is dead

let link = null; // what is open or opening: { send, close }
let openedAt = 0;
let heardAt = 0;
let failures = 0;
let retryAt = 0;
let timer = 0;
const backends = new Map(); // name -> its last figures
const history = new Array(60).fill(0);

// the transport ----------------------------------------------------------------------------------------------------

function openWebSocket(on) {
  const socket = new WebSocket(address);
  socket.onopen = on.open;
  socket.onmessage = (event) => on.text(event.data);
  socket.onclose = (event) => on.close(`closed with code ${event.code}${event.reason ? ` (${event.reason})` : ""}`);
  return { send: (text) => socket.send(text), close: () => socket.close() };
}

function openPolling(on) {
  const socket = window.io({ transports: ["polling"], reconnection: false, forceNew: true });
  let said = false;
  const close = (why) => { if (!said) on.close(why); said = true; };
  socket.on("connect", on.open);
  socket.on("message", on.text);
  socket.on("connect_error", (error) => close(`failed: ${error.message}`));
  socket.on("disconnect", (why) => close(`closed: ${why}`));
  return { send: (text) => socket.send(text), close: () => { socket.disconnect(); close("closed"); } };
}

function loadSocketIO() {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = "/socket.io/socket.io.min.js";
    script.onload = resolve;
    script.onerror = () => { script.remove(); reject(new Error("Socket.IO is not running here")); };
    document.head.append(script);
  });
}

// connecting, and connecting again -----------------------------------------------------------------------------------

async function connect() {
  clearTimeout(timer);
  retryAt = 0;
  if (link) return;
  const mine = (link = { send() {}, close() {} });
  const guard = (act) => (...args) => { if (link === mine) act(...args); };
  const on = { open: guard(opened), text: guard(heard), close: guard(lost) };
  show("waiting", "Connecting");
  try {
    if (polling && !window.io) await loadSocketIO();
    if (link === mine) Object.assign(mine, (polling ? openPolling : openWebSocket)(on));
  } catch (error) {
    on.close(error.message);
  }
}

function opened() {
  openedAt = heardAt = Date.now();
  note("good", "open");
  $("why").hidden = true;
  send({ type: "join", name: $("name").value.trim() });
  send({ type: "watch", on: $("live").checked });
  $("send").disabled = false;
}

// The pause doubles with each failure, up to half a minute.  Chance spreads it, so that after a restart of the server
// thousands of clients do not all return in the same moment.
function lost(why) {
  const lasted = openedAt ? Date.now() - openedAt : 0;
  failures = lasted > STEADY ? 1 : failures + 1;
  link = null;
  openedAt = 0;
  $("send").disabled = true;
  const longest = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** (failures - 1));
  const delay = longest / 2 + Math.random() * (longest / 2);
  if (!lasted && !polling) $("why").hidden = false;
  note("bad", lasted ? `${why} after ${seconds(lasted)}` : `${why}; the handshake failed`);
  retryAt = Date.now() + delay;
  timer = setTimeout(connect, delay);
  tick();
}

function reconnect() {
  const old = link;
  link = null;
  old?.close();
  openedAt = failures = 0;
  $("send").disabled = true;
  connect();
}

function send(message) {
  link?.send(JSON.stringify(message));
}

// what the server says ---------------------------------------------------------------------------------------------

function heard(text) {
  heardAt = Date.now();
  const message = JSON.parse(text);
  if (message.type === "welcome") {
    $("backend").textContent = message.backend;
    $("heartbeat").textContent = message.heartbeat;
    show("open", `Connected to ${message.backend}`);
  } else if (message.type === "chat") {
    addMessage(message);
  } else if (message.type === "state") {
    backends.set(message.backend, { ...message, heardAt });
  }
}

function addMessage({ name, text, backend, at }) {
  $("empty").hidden = true;
  const list = $("messages");
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  const item = element("li", "", name && name === $("name").value.trim() ? "mine" : "");
  const from = element("div", "", "from");
  from.append(element("span", name || "somebody", "who"), element("span", clock(at)), element("span", `via ${backend}`));
  item.append(from, element("div", text));
  list.append(item);
  while (list.children.length > 200) list.firstChild.remove();
  if (atEnd) list.scrollTop = list.scrollHeight;
}

// the dashboard, every second ----------------------------------------------------------------------------------------

function tick() {
  const now = Date.now();
  const live = $("live").checked;
  if (retryAt) show("closed", `Not connected. Next try in ${seconds(Math.max(0, retryAt - now))}`);
  $("age").textContent = openedAt ? age(now - openedAt) : "–";
  if (openedAt && live && now - heardAt > FIGURES_LATE) {
    const dead = link;
    note("bad", "no figures for 10 s: the connection is dead");
    lost("given up");
    dead?.close();
  }
  for (const [name, figures] of backends) if (now - figures.heardAt > 3500) backends.delete(name);
  const all = [...backends.values()].sort((a, b) => (a.backend < b.backend ? -1 : 1));
  const rate = sum(all, "rate");
  $("connections").textContent = all.length ? sum(all, "connections") : "–";
  $("rate").textContent = all.length ? rate : "–";
  history.push(rate);
  history.shift();
  draw();
  $("backends").replaceChildren(...all.map(row));
}

function row({ backend, connections, names }) {
  const line = element("tr", "", openedAt && backend === $("backend").textContent ? "here" : "");
  line.append(element("td", backend), element("td", connections, "number"), element("td", (names || []).join(", ") || "–"));
  return line;
}

function draw() {
  const peak = Math.max(...history);
  const points = history.map((value, i) => `${(i * 240) / 59},${46 - (value / Math.max(peak, 1)) * 42}`);
  $("chart").querySelector(".line").setAttribute("d", `M${points.join("L")}`);
  $("chart").querySelector(".area").setAttribute("d", `M0,48L${points.join("L")}L240,48Z`);
  $("peak").textContent = `Peak: ${peak}.`;
}

// small things -----------------------------------------------------------------------------------------------------

const sum = (items, key) => items.reduce((total, item) => total + (item[key] || 0), 0);
const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;
const clock = (at) => new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });

function age(ms) {
  const s = Math.floor(ms / 1000);
  return s < 60 ? `${s} s` : s < 3600 ? `${Math.floor(s / 60)} min ${s % 60} s` : `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`;
}

function element(tag, text, className = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

function show(state, text) {
  const pill = $("status");
  if (state !== pill.dataset.state && state !== "waiting") $("announced").textContent = state === "open" ? text : "Not connected";
  pill.dataset.state = state;
  if (pill.textContent !== text) pill.textContent = text;
  if (state !== "open") $("backend").textContent = "–";
}

function note(kind, text) {
  const item = element("li", "");
  item.append(element("time", clock(Date.now())), element("span", text, kind));
  $("events").prepend(item);
  while ($("events").children.length > 8) $("events").lastChild.remove();
}

$("name").value = `guest-${Math.floor(1000 + Math.random() * 9000)}`;
$("address").textContent = polling ? `${location.origin}/socket.io/` : address;
$("ask").textContent = `ws101 ${address} -k`;
$(polling ? "by-polling" : "by-websocket").setAttribute("aria-current", "page");
$("name").addEventListener("change", () => openedAt && send({ type: "join", name: $("name").value.trim() }));
$("live").addEventListener("change", () => {
  $("paused").hidden = $("live").checked;
  heardAt = Date.now();
  if (openedAt) send({ type: "watch", on: $("live").checked });
});
$("again").addEventListener("click", reconnect);
$("say").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (!text || !openedAt) return;
  send({ type: "chat", text });
  $("text").value = "";
});
addEventListener("online", () => retryAt && connect());
setInterval(tick, 1000);
connect();
