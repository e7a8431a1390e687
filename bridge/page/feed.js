/** The report as it comes: server-sent events, and the truth about whether they still come. */

/**
 * Longer than the server ever stays silent: it says something every 15 s. A connection that died without a word,
 * as when a laptop slept or a cable was pulled, is known by that.
 */
const SILENCE_MS = 40_000;
const AGAIN_MS = 2_000;
const SLOWEST_MS = 30_000;
const KINDS = ["report", "head", "source", "stored"];

/**
 * `onMessage(kind, data)` for each message; `onState(state)` when it changes: `live`, `lost`, or `login` where a token
 * is needed. Begins with `start`, and goes on for ever.
 */
export class Feed {
  constructor({ onMessage, onState }) {
    this.onMessage = onMessage;
    this.onState = onState;
    this.state = "connecting";
    /** When something last came, by this machine's clock; 0 before. */
    this.heard = 0;
    this.tries = 0;
    setInterval(() => this.watch(), 1000);
    for (const name of ["online", "pageshow"]) window.addEventListener(name, () => this.state === "lost" && this.start());
    document.addEventListener("visibilitychange", () => document.hidden || this.watch());
  }

  start() {
    this.stop();
    const source = new EventSource("/events");
    this.source = source;
    this.begun = Date.now();
    for (const kind of KINDS) source.addEventListener(kind, (event) => this.take(source, kind, event.data));
    // The server's sign of life between messages, where it sends one.
    source.addEventListener("alive", () => this.alive(source));
    source.onerror = () => this.failed(source);
  }

  stop() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }

  take(source, kind, text) {
    if (source !== this.source) return;
    let data;
    try {
      data = JSON.parse(text);
    } catch {
      return;
    }
    // Before the whole report, a part of it says nothing.
    if (kind !== "report" && this.state !== "live") return;
    this.alive(source);
    this.onMessage(kind, data);
    this.become("live");
  }

  alive(source) {
    if (source !== this.source) return;
    this.heard = Date.now();
    this.tries = 0;
  }

  failed(source) {
    if (source !== this.source) return;
    if (this.state !== "login") this.become("lost");
    // The browser connects again by itself unless it was answered with a refusal: then we ask why.
    if (source.readyState === EventSource.CLOSED) {
      this.stop();
      this.ask();
    }
  }

  async ask() {
    let status = 0;
    try {
      status = (await fetch("/status.json", { method: "HEAD", cache: "no-store", signal: AbortSignal.timeout(10_000) })).status;
    } catch {
      // No answer is an answer, too: it is tried again.
    }
    if (status === 401 || status === 403) {
      this.become("login");
      return;
    }
    const wait = Math.min(SLOWEST_MS, AGAIN_MS * 2 ** this.tries);
    this.tries += 1;
    this.timer = setTimeout(() => this.start(), wait);
  }

  watch() {
    if (!this.source || this.state === "login") return;
    const since = Math.max(this.heard, this.begun);
    if (Date.now() - since < SILENCE_MS) return;
    this.become("lost");
    this.start();
  }

  become(state) {
    if (state === this.state) return;
    this.state = state;
    this.onState(state);
  }
}
