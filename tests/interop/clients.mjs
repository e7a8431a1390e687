// The three packages' own clients, against a server of ours: node clients.mjs SUBPROTOCOL URL, the token by
// INTEROP_TOKEN. Says each result as a line of JSON, and `{"end": ...}` for what ends it.

import { createInterface } from "node:readline";
import { createConsumer, adapters } from "@rails/actioncable";
import { createClient } from "graphql-ws";
import { SubscriptionClient } from "subscriptions-transport-ws";
import WebSocket from "ws";

const [, , subprotocol, url] = process.argv;
const token = process.env.INTEROP_TOKEN;
const say = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);
const asObject = (reason) => (reason instanceof Error ? { message: reason.message } : reason);

const CLIENTS = {
  "graphql-ws": () => {
    const client = new SubscriptionClient(
      url,
      { connectionParams: { authToken: `Bearer ${token}` }, connectionCallback: (error) => error && say({ end: asObject(error) }) },
      WebSocket,
    );
    client.onConnected(() => say({ connected: true }));
    return (query, name) => {
      const running = client.request({ query }).subscribe({
        next: (result) => say({ name, result }),
        error: (error) => say({ name, end: asObject(error) }),
        complete: () => say({ name, end: null }),
      });
      return () => running.unsubscribe();
    };
  },

  "graphql-transport-ws": () => {
    const client = createClient({
      url,
      connectionParams: { authToken: `Bearer ${token}` },
      webSocketImpl: WebSocket,
      lazy: false,
      keepAlive: 100, // its own pings, which are to be answered
      retryAttempts: 0,
      onNonLazyError: (closed) => say({ end: { code: closed.code, reason: closed.reason } }),
      on: { connected: () => say({ connected: true }), pong: () => say({ pong: true }) },
    });
    return (query, name) =>
      client.subscribe(
        { query },
        {
          next: (result) => say({ name, result }),
          error: (error) => say({ name, end: Array.isArray(error) ? error : asObject(error) }),
          complete: () => say({ name, end: null }),
        },
      );
  },

  "actioncable-v1-json": () => {
    // A browser's client: it looks at the visibility of the page, and cannot set headers.
    globalThis.document = { visibilityState: "visible" };
    globalThis.addEventListener = globalThis.removeEventListener = () => {};
    adapters.WebSocket = WebSocket;
    const cable = createConsumer(`${url}?access_token=${token}`);
    const message = cable.connection.events.message;
    cable.connection.events.message = function (event) {
      const { type, reason, reconnect } = JSON.parse(event.data);
      if (type === "welcome") say({ connected: true });
      if (type === "ping") say({ pong: true });
      if (type === "disconnect") say({ end: { reason, reconnect } });
      message.call(this, event);
    };
    cable.connect();
    return (query, name) => {
      const channel = cable.subscriptions.create(
        { channel: "GraphqlChannel", channelId: name },
        {
          connected: () => channel.perform("execute", { query, variables: {} }),
          received: ({ result, more }) => {
            if (result) say({ name, result });
            if (!more) say({ name, end: null });
          },
          rejected: () => say({ name, end: { message: "rejected" } }),
        },
      );
      return () => channel.unsubscribe();
    };
  },
};

const subscribe = CLIENTS[subprotocol]();
const running = new Map();
const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const { do: order, name, query } = JSON.parse(line);
  if (order === "subscribe") running.set(name, subscribe(query, name));
  else running.get(name)();
});
lines.on("close", () => process.exit(0));
