// Handles each event, and goes on where it was: a durable consumer.

import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { AckPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";

const file = process.env.BRIDGED_NATS ?? `${homedir()}/.local/state/bridged/nats.json`;
const here = JSON.parse(readFileSync(file, "utf8")); // of the embedded server
const nc = await connect({ servers: here.url, user: here.user, pass: here.password });

const manager = await jetstreamManager(nc);
await manager.consumers.add("BRIDGE", {
  durable_name: "billing",
  filter_subject: "events.pcvisit.*.session.>",
  ack_policy: AckPolicy.Explicit,
});
const consumer = await jetstream(nc).consumers.get("BRIDGE", "billing");
for await (const message of await consumer.consume()) {
  const body = message.json();
  const { id, change, after } = body.data ?? body; // .data: with content_mode = "structured"
  console.log(change, id, JSON.stringify(after)); // after: the whole session
  message.ack(); // what is not acknowledged comes again, with the same ce-id
}
