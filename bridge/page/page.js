/** Puts the page together: what comes is kept, judged and drawn; what the reader does is answered. */

import { fill, foreign, h, put } from "./dom.js";
import { Feed } from "./feed.js";
import { ask } from "./login.js";
import { events, hero, system, todo } from "./parts.js";
import { anchor, row } from "./source.js";
import { ranked, state, tone } from "./verdict.js";
import { count, number, tell } from "./words.js";

const BATCH = 40;
/** With more sources than this they can be searched and filtered. */
const FEW = 12;
const DRAW_MS = 100;
const SPEAK_MS = 4_000;
const JUDGE_MS = 10_000;
const NEWEST = 50;

const at = (id) => document.getElementById(id);
const main = at("main");

/** What is known: the whole report, as of `heard` by this machine's clock. */
let report = null;
let lostSince = null;
/** How far the server's clock is ahead of ours: ages are those of the server. */
let ahead = 0;
let shown = BATCH;
let wanted = { text: "", tone: "" };
const opened = new Set();
let dirty = null;
let before = new Map();

const now = () => Date.now() + ahead;

/* What comes */

const feed = new Feed({
  onMessage(kind, data) {
    const told = Date.parse(data.instance?.now ?? "");
    if (Number.isFinite(told)) ahead = told - Date.now();
    if (kind === "report") {
      for (const one of data.sources ?? []) one.told = now();
      report = { ...data, sources: data.sources ?? [], events: data.events ?? [] };
    } else if (kind === "head") {
      report = { ...report, ...data };
    } else if (kind === "source") {
      data.told = now();
      const index = report.sources.findIndex((one) => one.name === data.name);
      if (index < 0) report.sources.push(data);
      else report.sources[index] = data;
    } else if (kind === "stored") {
      const rows = Array.isArray(data) ? data : data.events ?? [];
      report.events = [...rows, ...report.events].slice(0, NEWEST);
    }
    draw();
  },
  onState(state) {
    if (state === "login") {
      at("report").hidden = true;
      ask(at("login"), () => feed.start());
    }
    lostSince = state === "lost" ? feed.heard || Date.now() : null;
    if (state === "live") {
      at("login").hidden = true;
      at("report").hidden = false;
    }
    document.documentElement.dataset.feed = state;
    draw();
  },
});

/* What is drawn: at most ten times a second, whatever comes */

function draw() {
  dirty ??= setTimeout(() => {
    dirty = null;
    paint();
  }, DRAW_MS);
}

function paint() {
  paintFeed();
  if (feed.state === "login") document.title = "Token needed · bridged";
  if (!report || feed.state === "login") return;
  const lost = lostSince === null ? null : lostSince + ahead;
  const found = hero(at("hero"), report, { now: now(), lost, heard: feed.heard });
  todo(at("todo"), report, { now: now(), lost });
  sources();
  events(at("events"), report, now());
  system(at("system"), report, now());
  const { instance } = report;
  const { name: who, host } = instance;
  const there = h("p", {}, who && foreign(who, 80), who && host && host !== who ? [" on ", foreign(host, 80)] : null);
  fill(at("instance"), [...there.childNodes]);
  document.title = `${found.words} · ${String(who ?? "bridged").slice(0, 80)}`;
  const name = { ok: "ok", bad: "bad", warn: "warn", lost: "warn" }[found.tone] ?? "busy";
  const link = document.querySelector("link[rel=icon]");
  if (!link.href.endsWith(`icon-${name}.svg`)) link.href = `/assets/icon-${name}.svg`;
  speak(found);
}

function paintFeed() {
  const words = { connecting: "Connecting", live: "Live", lost: "Not live", login: "Locked" };
  put(at("feed"), words[feed.state]);
  if (feed.state === "lost" && !report) {
    at("report").hidden = true;
    put(at("feed"), "Not live: the daemon does not answer");
  }
}

function sources() {
  const list = at("list");
  const all = ranked(report.sources, now());
  filters(all);
  const chosen = all.filter(fits);
  let visible = chosen.slice(0, shown);
  // Whoever is in the list is not to have it move under the hands: the order waits until they leave.
  if (list.contains(document.activeElement)) visible = steady(list, visible);
  const lost = lostSince !== null;
  fill(list, visible.map((source) => row(source, { now: now(), lost, opened: opened.has(source.name) })));
  const more = chosen.length - visible.length;
  at("more").hidden = more <= 0;
  put(at("more"), `Show ${number(Math.min(BATCH, more))} more`);
  const total = all.length > FEW ? `${number(visible.length)} of ${number(all.length)}, problems first` : all.length ? number(all.length) : "";
  put(at("count"), total);
  at("none").hidden = chosen.length > 0;
  put(at("none"), all.length ? "No source fits." : "None yet: there is no [[source]] in the configuration.");
}

function steady(list, visible) {
  const places = new Map([...list.children].map((element, index) => [element.dataset.key, index]));
  const place = (source) => places.get(source.name) ?? places.size;
  return [...visible].sort((a, b) => place(a) - place(b));
}

function fits(source) {
  if (wanted.tone && group(source) !== wanted.tone) return false;
  const text = wanted.text.trim().toLowerCase();
  return !text || [source.name, source.vendor, source.adapter].some((one) => String(one ?? "").toLowerCase().includes(text));
}

const GROUPS = { "": "All", trouble: "Need attention", busy: "Under way", ok: "Live", idle: "Idle" };

function group(source) {
  const mood = tone(source, now());
  return mood === "bad" || mood === "warn" ? "trouble" : mood;
}

function filters(all) {
  at("filters").hidden = all.length <= FEW;
  if (all.length <= FEW) {
    wanted = { text: "", tone: "" };
    return;
  }
  const many = { "": all.length };
  for (const source of all) many[group(source)] = (many[group(source)] ?? 0) + 1;
  const legend = at("tones").querySelector("legend");
  fill(at("tones"), [
    legend.cloneNode(true),
    ...Object.entries(GROUPS).map(([tone, words]) =>
      h("label", { class: "chip", "data-key": `tone-${tone}` }, h("input", { type: "radio", name: "tone", value: tone, checked: tone === wanted.tone }), h("span", {}, words, " ", h("b", {}, number(many[tone] ?? 0)))),
    ),
  ]);
  at("tones").querySelector(`[value="${wanted.tone}"]`).checked = true;
}

/* What is spoken: only what has changed, together, and not more often than somebody can listen to */

let waiting = [];
let speaking = null;

function speak(found) {
  const current = new Map(report.sources.map((source) => [source.name, state(source)[0]]));
  const first = before.size === 0;
  const changed = first ? [] : [...current].filter(([name, word]) => before.get(name) !== word);
  if (before.get("") !== found.words) waiting.push(`${found.words}.`);
  if (changed.length > 3) waiting.push(`${count(changed.length, "source")} changed.`);
  else waiting.push(...changed.map(([name, word]) => `${String(name).slice(0, 80)}: ${word}.`));
  before = lostSince === null || first ? new Map([...current, ["", found.words]]) : before.set("", found.words);
  if (!waiting.length || speaking) return;
  say();
}

function say() {
  put(at("spoken"), [...new Set(waiting)].slice(-4).join(" "));
  waiting = [];
  speaking = setTimeout(() => {
    speaking = null;
    if (waiting.length) say();
  }, SPEAK_MS);
}

/* What the reader does */

at("filters").addEventListener("submit", (event) => event.preventDefault());
at("filters").addEventListener("input", (event) => {
  if (event.target.id === "find") wanted.text = event.target.value;
  else wanted.tone = event.target.value;
  shown = BATCH;
  paint();
});

at("more").addEventListener("click", () => {
  const place = shown;
  shown += BATCH;
  paint();
  // The button has moved on, or is gone: go on reading with the first that is new.
  at("list").children[place]?.querySelector("h3")?.focus();
});

// `toggle` does not bubble, so it is caught on its way down.
at("list").addEventListener(
  "toggle",
  (event) => {
    const name = event.target.dataset.source;
    const known = opened.has(name);
    if (event.target.open) opened.add(name);
    else opened.delete(name);
    if (known !== event.target.open) paint();
  },
  true,
);

at("list").addEventListener("focusout", () => setTimeout(draw));

main.addEventListener("click", (event) => {
  const link = event.target.closest("[data-jump]");
  if (!link) return;
  event.preventDefault();
  wanted = { text: "", tone: "" };
  at("find").value = "";
  opened.add(link.dataset.jump);
  paint();
  const source = report.sources.find((one) => one.name === link.dataset.jump);
  const element = source && at(anchor(source));
  if (!element) return;
  element.querySelector("details").open = true;
  element.scrollIntoView({ block: "start" });
  element.querySelector("h3").focus({ preventScroll: true });
});

const THEMES = { "": "system", light: "light", dark: "dark" };
const NEXT = { "": "light", light: "dark", dark: "" };
const theme = at("theme");

function showTheme() {
  const chosen = document.documentElement.dataset.theme ?? "";
  put(theme, `Theme: ${THEMES[chosen]}`);
  theme.hidden = false;
}

theme.addEventListener("click", () => {
  const chosen = NEXT[document.documentElement.dataset.theme ?? ""];
  if (chosen) document.documentElement.dataset.theme = chosen;
  else delete document.documentElement.dataset.theme;
  try {
    localStorage.setItem("bridged-theme", chosen);
  } catch {
    // Then it lasts as long as the page.
  }
  showTheme();
});

// Ages go on by themselves; now and then all is judged anew, as time alone makes things late.
setInterval(() => {
  if (!document.hidden) tell(main, now());
}, 1000);
setInterval(() => report && draw(), JUDGE_MS);

showTheme();
fill(at("footer"), [
  h("p", {}, "The same in a terminal: ", h("code", {}, "bridged status"), " · ", h("a", { href: "/status.json" }, "status.json"), " · ", h("a", { href: "/metrics" }, "metrics"), " · ", h("a", { href: "/readyz?verbose" }, "readiness")),
]);
feed.start();
