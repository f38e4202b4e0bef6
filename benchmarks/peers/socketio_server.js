// The live road as it is written with socket.io: who shows a known token is connected, and what is posted to
// /publish goes to all. WebSockets only.
//
//     node socketio_server.js PORT TOKENS        (a file, one a line)
"use strict";

const fs = require("node:fs");
const http = require("node:http");
const { Server } = require("socket.io");

const [port, file] = process.argv.slice(2);
const tokens = new Set(fs.readFileSync(file, "utf8").split("\n").filter(Boolean));

const server = http.createServer((request, response) => {
  if (request.method !== "POST" || request.url !== "/publish") {
    response.writeHead(404).end();
    return;
  }
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    io.emit("new", JSON.parse(Buffer.concat(parts).toString()));
    response.writeHead(204).end();
  });
});
server.keepAliveTimeout = 600_000;

const io = new Server(server, { transports: ["websocket"], serveClient: false });

io.use((socket, next) => {
  const [kind, token] = (socket.handshake.headers.authorization || "").split(" ");
  next(kind === "Bearer" && tokens.has(token) ? undefined : new Error("not authenticated"));
});

server.listen({ port: Number(port), host: "127.0.0.1", backlog: 4096 });
