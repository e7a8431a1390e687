// A Socket.IO server as npm has it: node socketio.mjs PORT KIND INTERVAL TIMEOUT (of the heartbeat, in milliseconds).
//
// KIND: `a` is socket.io 2, which speaks Engine.IO revision 3; `b` is socket.io 4 that lets revision 3 in as well;
// `c` is socket.io 4 as it comes. At every handshake it looks for the token in the cookie `sid` and in the header
// `Authorization`, and in both it must be the one of that moment.

import { createServer } from "node:http";
import { Server } from "socket.io";
import Older from "socket.io-2";
import { obey } from "./orders.mjs";

const [, , port, kind, pingInterval, pingTimeout] = process.argv;
const NAMESPACES = ["/", "/live"];
const LONGEST_LIST = 1000;

let token, refusal, greeting, facts;
const present = Object.fromEntries(NAMESPACES.map((name) => [name, new Set()]));

/** `refusal`: what the middleware says; null: everybody may come in. `greeting`: an event for everyone who comes. */
function forget() {
  token = process.env.INTEROP_TOKEN;
  refusal = greeting = null;
  facts = { handshakes: 0, refused: 0, revisions: [], beats: 0, connections: [], ended: [], acks: [], said: [] };
}
forget();

function note(list, value) {
  if (list.length < LONGEST_LIST) list.push(value);
}

function allowRequest(request, answer) {
  const { authorization, cookie = "" } = request.headers;
  const good = authorization === `Bearer ${token}` && cookie.split("; ").includes(`sid=${token}`);
  facts.handshakes += 1;
  facts.refused += good ? 0 : 1;
  note(facts.revisions, new URL(request.url, "http://server").searchParams.get("EIO"));
  answer(null, good);
}

const http = createServer();
const options = { pingInterval: Number(pingInterval), pingTimeout: Number(pingTimeout), allowRequest, serveClient: false };
const io = kind === "a" ? new Older(http, options) : new Server(http, { ...options, allowEIO3: kind === "b" });

/** JSON to what is sent: `{"base64": text}` stands for bytes, wherever it is. */
function revived(value) {
  if (Array.isArray(value)) return value.map(revived);
  if (value === null || typeof value !== "object") return value;
  if (typeof value.base64 === "string") return Buffer.from(value.base64, "base64");
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, revived(one)]));
}

function emit(socket, [name, ...args], acknowledge) {
  const wanted = acknowledge ? [(...answer) => note(facts.acks, [name, ...args, ...answer])] : [];
  socket.emit(name, ...args.map(revived), ...wanted);
}

for (const name of NAMESPACES) {
  const namespace = io.of(name);
  namespace.use((socket, next) => next(refusal === null ? undefined : new Error(refusal)));
  namespace.on("connection", (socket) => {
    note(facts.connections, name);
    present[name].add(socket);
    if (greeting !== null) emit(socket, greeting);
    socket.on("disconnect", (reason) => {
      present[name].delete(socket);
      note(facts.ended, [name, reason]);
    });
  });
}

io.engine.on("connection", (connection) => {
  connection.on("heartbeat", () => (facts.beats += 1)); // revision 3: its ping; revision 4: its pong
  connection.on("packet", ({ type, data }) => type === "message" && note(facts.said, data));
});

const ORDERS = {
  facts: () => ({ ...facts, present: Object.fromEntries(NAMESPACES.map((name) => [name, present[name].size])) }),
  forget,
  set: (order) => {
    token = order.token ?? token;
    refusal = order.refusal ?? refusal;
    greeting = order.greeting ?? greeting;
  },
  // `events`: lists of a name and arguments, sent one after the other to everyone who is in the namespace.
  emit: ({ namespace, events, acknowledge }) => {
    for (const event of events) for (const socket of present[namespace]) emit(socket, event, acknowledge);
  },
  // `whole`: the connection with all its namespaces.
  disconnect: ({ namespace, whole }) => {
    for (const socket of [...present[namespace]]) socket.disconnect(whole);
  },
  leave: () => void io.close(),
};

http.listen(Number(port), "127.0.0.1", () => obey(http.address().port, ORDERS));
