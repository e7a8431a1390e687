// What somebody careful would write in Node.js: `node script.mjs VENDOR NATS` listens to a GraphQL subscription and
// publishes into JetStream without waiting for each; no more than a window of acknowledgements is outstanding.

import { jetstream } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import WebSocket from "ws";
import tally from "./tally.cjs";

const [vendor, servers] = process.argv.slice(2);
const WINDOW = 4000;
const options = { timeout: 60_000 };
const js = jetstream(await connect({ servers }));
const socket = new WebSocket(vendor, ["graphql-transport-ws"], { perMessageDeflate: false });
let outstanding = 0;

async function publish(event) {
  outstanding += 1;
  if (outstanding === WINDOW) socket.pause();
  await js.publish(`bare.node.${event.id}`, JSON.stringify(event), options);
  tally.note(event.id);
  outstanding -= 1;
  if (outstanding === WINDOW / 2) socket.resume();
}

socket.on("open", () => socket.send('{"type":"connection_init"}'));
socket.on("message", (data) => {
  const message = JSON.parse(data);
  if (message.type === "next") publish(message.payload.data.change);
  else if (message.type === "ping") socket.send('{"type":"pong"}');
  else if (message.type === "connection_ack") {
    const payload = { query: "subscription { change { id } }" };
    socket.send(JSON.stringify({ id: "1", type: "subscribe", payload }));
    tally.listen();
  }
});
