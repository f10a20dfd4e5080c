"use strict";
// A chat behind nginx, in Node with ws.  Settings: see chat.js.
const http = require("node:http");
const { WebSocketServer } = require("ws");
const { allowed, join, settings } = require("./chat.js");

const pathOf = (request) => request.url.split("?")[0];

// A request that asks for no upgrade ends here: so does a WebSocket's, if a proxy took the fields away.
const server = http.createServer((request, response) => {
  const [status, text] = pathOf(request) === "/ws"
    ? [426, "This is a WebSocket; the request came without Upgrade and Connection.\n"]
    : [404, "There is nothing here; the chat is at /ws.\n"];
  response.writeHead(status, { "Content-Type": "text/plain" }).end(text);
});

const sockets = new WebSocketServer({
  server,
  path: "/ws",
  maxPayload: 16 * 1024,
  verifyClient: ({ req }, answer) => answer(allowed(req), 403, "Host and Origin are not this site's\n"),
});

sockets.on("connection", (socket) => {
  const client = join((text) => socket.send(text));
  socket.alive = true;
  socket.on("pong", () => { socket.alive = true; });
  socket.on("message", (data) => {
    try {
      client.receive(data.toString());
    } catch {
      socket.close(1007, "send JSON objects");
    }
  });
  socket.on("error", () => {});
  socket.on("close", client.leave);
});

// ws sends no pings by itself: who has not answered the last one is dropped.
setInterval(() => {
  for (const socket of sockets.clients) {
    if (!socket.alive) socket.terminate();
    socket.alive = false;
    socket.ping();
  }
}, settings.heartbeat * 1000);

server.listen(settings.port, "127.0.0.1");
