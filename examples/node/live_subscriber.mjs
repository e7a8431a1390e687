// Hears of events the moment they are stored, and of nothing that happens while it is away: a plain subscriber.

import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { connect } from "@nats-io/transport-node";

const file = process.env.BRIDGED_NATS ?? `${homedir()}/.local/state/bridged/nats.json`;
const here = JSON.parse(readFileSync(file, "utf8")); // of the embedded server
const nc = await connect({ servers: here.url, user: here.user, pass: here.password });

// Or live.pcvisit.>, live.*.*.*.deleted.>; telemetry is below live, too.
for await (const message of nc.subscribe("live.>")) {
  const [vendor, source, entity, change] = message.subject.split(".").slice(-5);
  const body = message.json();
  const { id } = body.data ?? body; // .data: with content_mode = "structured"
  console.log(vendor, source, entity, change, id);
}
