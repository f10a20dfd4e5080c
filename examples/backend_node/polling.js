"use strict";
// The same chat with Socket.IO, for clients that cannot have a WebSocket and poll.  Settings: see chat.js.
//
// A poll is a plain request of its own, and its session lives in this process: behind several processes every request of
// one client has to reach the same one (ip_hash in nginx).
const http = require("node:http");
const { Server } = require("socket.io");
const { allowed, join, settings } = require("./chat.js");

const server = http.createServer((request, response) => {
  response.writeHead(404, { "Content-Type": "text/plain" }).end("There is nothing here; Socket.IO is at /socket.io/.\n");
});

const sockets = new Server(server, {
  maxHttpBufferSize: 16 * 1024,
  pingInterval: settings.heartbeat * 1000,
  pingTimeout: settings.heartbeat * 1000,
  allowRequest: (request, answer) => answer(null, allowed(request)),
});

sockets.on("connection", (socket) => {
  const client = join((text) => socket.send(text));
  socket.on("message", (text) => {
    try {
      client.receive(text);
    } catch {
      socket.disconnect(true);
    }
  });
  socket.on("disconnect", client.leave);
});

server.listen(settings.port, "127.0.0.1");
