// Node-RED as the bench runs it: no editor, nothing logged, and what the flow's functions may use.

const { jetstream } = require("@nats-io/jetstream");
const { connect } = require("@nats-io/transport-node");
const tally = require("./tally.cjs");

module.exports = {
  uiHost: "127.0.0.1",
  uiPort: Number(process.env.BENCH_PORT),
  httpAdminRoot: false,
  httpNodeRoot: false,
  credentialSecret: false,
  logging: { console: { level: "fatal", metrics: false, audit: false } },
  functionGlobalContext: { tally, stream: connect({ servers: process.env.BENCH_NATS }).then(jetstream) },
};
