// The stock server of sub-protocol graphql-ws: subscriptions-transport-ws, with keep-alive and a check of the token.

import { execute, subscribe } from "graphql";
import { SubscriptionServer } from "subscriptions-transport-ws";
import { accepts, obey, schema } from "./hub.mjs";

const server = SubscriptionServer.create(
  {
    schema,
    execute,
    subscribe,
    keepAlive: 200,
    onConnect: (params) => {
      if (!accepts(params)) throw new Error("Not allowed");
      return {};
    },
  },
  { host: "127.0.0.1", port: Number(process.argv[2] ?? 0) },
);
server.server.on("listening", () => obey(server.server.address().port, () => server.close()));
