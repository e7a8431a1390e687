// Which events of a run are known to be stored, and the orders about it: lines of JSON, as tests/bench/throughput_taker.py
// says. Times are nanoseconds of the machine's monotonic clock, which all processes share.

const readline = require("node:readline");

const DIGITS = 16;
const STALLED_MS = 10_000;
let base = 0, seen = new Uint8Array(0), stored = 0, twice = 0, last = 0n;

function say(what) {
  process.stdout.write(JSON.stringify(what) + "\n");
}

exports.note = (id) => {
  const number = Number(id.slice(-DIGITS)) - base;
  if (!(number >= 0 && number < seen.length)) return;
  if (seen[number]) twice += 1;
  else {
    seen[number] = 1;
    stored += 1;
  }
  last = process.hrtime.bigint();
};

function expect(order) {
  ({ base } = order);
  seen = new Uint8Array(order.count);
  stored = twice = 0;
  say({});
}

function settle() {
  let before = -1, since = Date.now();
  const timer = setInterval(() => {
    if (stored !== before) [before, since] = [stored, Date.now()];
    if (stored < seen.length && Date.now() - since < STALLED_MS) return;
    clearInterval(timer);
    say({ stored, twice, last_ns: Number(last) });
  }, 20);
}

exports.listen = () => {
  const orders = { expect, settle };
  const lines = readline.createInterface({ input: process.stdin });
  lines.on("line", (line) => {
    const order = JSON.parse(line);
    orders[order.do](order);
  });
  lines.on("close", () => process.exit(0));
  say({ ready: true });
};
