// How a test tells a server of these what to do.
//
// An order is a line of JSON, `{"do": NAME, ...}`, on stdin; each is answered by one line on stdout. The server ends
// with its stdin, so it cannot outlive the test.

import { createInterface } from "node:readline";

/** Say where we listen, then carry out orders: each is a function of the order that returns its answer, or nothing. */
export function obey(port, orders) {
  const say = (answer) => process.stdout.write(`${JSON.stringify(answer ?? {})}\n`);
  const lines = createInterface({ input: process.stdin });
  lines.on("line", (line) => {
    const order = JSON.parse(line);
    say(orders[order.do](order));
  });
  lines.on("close", () => process.exit(0));
  say({ port });
}
