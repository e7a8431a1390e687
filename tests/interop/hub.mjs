// What both GraphQL servers share: a schema, topics that the test publishes to, and what the test may order.

import { buildSchema } from "graphql";
import { obey as carryOut } from "./orders.mjs";

export const TOKEN = process.env.INTEROP_TOKEN;

const listeners = new Map();
const facts = { connections: 0, refused: 0, tokens: [], pongs: 0, ended: 0 };
export { facts };

class Listener {
  constructor(topic) {
    this.topic = topic;
    this.values = [];
    this.waiting = null;
    this.over = false;
    if (!listeners.has(topic)) listeners.set(topic, new Set());
    listeners.get(topic).add(this);
  }

  put(value) {
    if (this.waiting) this.#answer({ value, done: false });
    else this.values.push(value);
  }

  end() {
    this.over = true;
    listeners.get(this.topic).delete(this);
    if (this.waiting) this.#answer({ value: undefined, done: true });
  }

  #answer(result) {
    const waiting = this.waiting;
    this.waiting = null;
    waiting(result);
  }

  next() {
    if (this.values.length) return Promise.resolve({ value: this.values.shift(), done: false });
    if (this.over) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve) => (this.waiting = resolve));
  }

  return() {
    facts.ended += 1;
    this.end();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator]() {
    return this;
  }
}

export const schema = buildSchema(`
  type Query { alive: Boolean }
  type Subscription { n(topic: String!): Int, text(topic: String!): String }
`);
const fields = schema.getSubscriptionType().getFields();
fields.n.subscribe = (_, { topic }) => new Listener(topic);
fields.text.subscribe = (_, { topic }) => new Listener(topic);
// What is published is the field's value.
fields.n.resolve = fields.text.resolve = (value) => value;

/** Whether connection parameters hold the token, as `Bearer <token>` or alone; counts. */
export function accepts(params) {
  const given = params?.authToken;
  facts.connections += 1;
  const good = given === TOKEN || given === `Bearer ${TOKEN}`;
  if (good) facts.tokens.push(given);
  else facts.refused += 1;
  return good;
}

function subscribed() {
  return Object.fromEntries([...listeners].map(([topic, all]) => [topic, all.size]).filter(([, size]) => size > 0));
}

const ORDERS = {
  facts: () => ({ ...facts, subscribed: subscribed() }),
  // `size` stands for a text of so many bytes.
  publish: ({ topic, values, size }) => {
    for (const value of values ?? ["x".repeat(size)]) for (const one of listeners.get(topic) ?? []) one.put(value);
    return {};
  },
  finish: ({ topic }) => {
    for (const one of [...(listeners.get(topic) ?? [])]) one.end();
    return {};
  },
};

/** Say where we listen, then carry out orders. `leave` begins to close the server in its own way. */
export function obey(port, leave) {
  carryOut(port, { ...ORDERS, leave: () => void leave() });
}
