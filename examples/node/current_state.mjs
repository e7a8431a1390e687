// Holds the current state of all sessions, and is told of each change: a watch on the KV view.

import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { Kvm } from "@nats-io/kv";
import { connect } from "@nats-io/transport-node";

const file = process.env.BRIDGED_NATS ?? `${homedir()}/.local/state/bridged/nats.json`;
const here = JSON.parse(readFileSync(file, "utf8")); // of the embedded server
const nc = await connect({ servers: here.url, user: here.user, pass: here.password });

const bucket = await new Kvm(nc).open("bridge-state");
const sessions = new Map();
for await (const entry of await bucket.watch({ key: "pcvisit.*.session.*" })) {
  if (entry.operation !== "PUT") {
    sessions.delete(entry.key);
    console.log("deleted", entry.key);
    continue;
  }
  const body = entry.json();
  sessions.set(entry.key, (body.data ?? body).after); // .data: with content_mode = "structured"
  console.log("is now", entry.key, JSON.stringify(sessions.get(entry.key)));
}
