"use strict";
// The chat itself, whatever brings the messages: server.js (WebSocket) or polling.js (Socket.IO).
//
// PORT       where to listen on 127.0.0.1            HEARTBEAT  seconds between pings; a silent peer is dropped
// NAME       what this backend calls itself          HUB        the hub's Unix socket; without one it stands alone
// ORIGIN     the site, https://example.com: no other page may connect
const net = require("node:net");
const readline = require("node:readline");

const env = process.env;
const settings = {
  port: Number(env.PORT || 3002),
  name: env.NAME || "node",
  heartbeat: Number(env.HEARTBEAT || 20),
};

const clients = new Set(); // each: { name, watching, send }
let hub = null;
let received = 0;

// Pages of other sites are refused: a browser would send them our user's cookies.
function allowed(request) {
  const { host, origin } = request.headers;
  const site = env.ORIGIN || `http://${host}`;
  return host === site.split("://")[1] && (origin === undefined || origin === site);
}

// A client arrived; `send` gives it a text.  What is not understood is passed over: older clients keep working.
function join(send) {
  const client = { name: "", watching: false, send };
  clients.add(client);
  send(JSON.stringify({ type: "welcome", backend: settings.name, heartbeat: settings.heartbeat }));
  return {
    receive(text) {
      const message = JSON.parse(text);
      if (message.type === "join") client.name = String(message.name ?? "").slice(0, 40);
      if (message.type === "watch") client.watching = Boolean(message.on);
      if (message.type === "chat") {
        received += 1;
        const said = { name: client.name, text: String(message.text ?? "").slice(0, 1000) };
        publish({ type: "chat", ...said, backend: settings.name, at: Date.now() });
      }
    },
    leave: () => clients.delete(client),
  };
}

// Tell the clients of every backend.
function publish(message) {
  const line = JSON.stringify(message);
  if (hub) hub.write(line + "\n");
  else deliver(line);
}

// Tell our own clients; the figures go only to those who watch them.
function deliver(line) {
  const figures = JSON.parse(line).type === "state";
  for (const client of clients) if (client.watching || !figures) client.send(line);
}

function listenToHub() {
  const socket = net.connect(env.HUB, () => { hub = socket; });
  readline.createInterface({ input: socket }).on("line", deliver).on("error", () => {});
  socket.on("error", () => {});
  socket.on("close", () => { hub = null; setTimeout(listenToHub, 1000); });
}

if (env.HUB) listenToHub();
setInterval(() => {
  const names = [...clients].map((client) => client.name).filter(Boolean).sort().slice(0, 100);
  publish({ type: "state", backend: settings.name, connections: clients.size, names, rate: received });
  received = 0;
}, 1000);

module.exports = { allowed, join, settings };
