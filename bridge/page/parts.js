/** The parts of the page around the sources: the verdict, what to do, the last events, the instance. */

import { fill, foreign, h } from "./dom.js";
import { icon } from "./icons.js";
import { anchor, badge, facts } from "./source.js";
import { spark, tally, together } from "./spark.js";
import { advice, begun, complaints, tone, troubled, undelivered, verdict } from "./verdict.js";
import { bytes, clock, count, exact, number, when } from "./words.js";

const MOST = 6;

/** How all is: `{tone, words}`, after it has been drawn into `place`. `lost`: since when nothing comes, or null. */
export function hero(place, report, { now, lost, heard }) {
  const found = lost === null ? verdict(report, now) : { tone: "lost", words: "No longer live", more: "" };
  const asOf = h("time", { datetime: new Date(heard).toISOString(), title: exact(heard) }, clock(heard));
  const more = lost === null
    ? found.more || foreign(report.headline ?? "")
    : ["The daemon has not answered ", when(lost, "for", now), ". What you see is as of ", asOf, ". It is tried again by itself. See whether the daemon runs: ", h("code", {}, "systemctl status bridged")];
  const rate = together(report.sources.map((source) => source.rate));
  const numbers = tally(rate);
  fill(place, [
    h("div", { class: "verdict", "data-tone": found.tone }, icon(found.tone), h("div", {}, h("h1", { id: "verdict" }, found.words), more && h("p", { class: "why" }, more))),
    h(
      "div",
      { class: "pulse" },
      spark(rate),
      h("p", {}, h("strong", {}, number(numbers.last)), ` ${numbers.last === 1 ? "event" : "events"} in the last minute, `, h("strong", {}, number(numbers.total)), " in the last hour"),
    ),
  ]);
  return found;
}

/** Which source, since when, what to do. */
export function todo(place, report, { now, lost }) {
  const found = troubled(report.sources, now);
  const alerts = undelivered(report);
  place.hidden = !found.length && !alerts.length && report.sources.length > 0;
  if (place.hidden) return fill(place, []);
  if (!report.sources.length) {
    return fill(place, [
      h("h2", { id: "todo-title" }, "What to do"),
      h("ol", { class: "steps" },
        h("li", {}, "Add a ", h("code", {}, "[[source]]"), " to the configuration: ", h("code", {}, "bridged adapters"), " lists the vendors, the documentation their settings."),
        h("li", {}, "Have it checked: ", h("code", {}, "bridged check --online")),
        h("li", {}, "Have it read: ", h("code", {}, "bridged reload"), ". It appears here by itself.")),
    ]);
  }
  const rest = found.length - MOST;
  return fill(place, [
    h("h2", { id: "todo-title" }, "What to do"),
    h(
      "ul",
      { class: "cases" },
      found.slice(0, MOST).map((source) => trouble(source, now, lost !== null)),
      alerts.slice(0, MOST).map((one) =>
        h("li", { class: "case", "data-tone": "warn", "data-key": `alert/${one.alert}/${one.channel}` },
          h("h3", {}, "Alert ", foreign(one.alert, 80), ", channel ", foreign(one.channel, 80)),
          h("p", {}, foreign(one.problem))),
      ),
    ),
    rest > 0 ? h("p", { class: "rest" }, `And ${count(rest, "other source")}: they come first in the list below.`) : null,
  ].filter(Boolean));
}

function trouble(source, now, lost) {
  const mood = tone(source, now);
  const said = complaints(source).slice(0, 3);
  return h(
    "li",
    { class: "case", "data-tone": mood, "data-key": source.name },
    h("h3", {}, h("a", { href: `#${anchor(source)}`, "data-jump": source.name }, foreign(source.name, 80)), " ", badge(source, mood, lost), " ", h("span", { class: "since" }, when(begun(source, mood), "for", now))),
    said.map((one) => h("p", {}, foreign(one))),
    h("p", { class: "advice" }, advice(source).map((one, index) => [index ? " " : "", one.map(part)]),
      source.again && Date.parse(source.again) > now && !said.some((one) => one.includes("ried again")) ? [" Tried again by itself ", when(source.again, "in", now), "."] : null),
  );
}

/** A part of an advice: a command is broken between its words only. */
function part(one) {
  if (typeof one === "string") return one;
  return h("code", {}, one.command.split(" ").map((word, index) => [index ? " " : "", h("span", { class: "word" }, word)]));
}

/** The last events as a table. */
export function events(place, report, now) {
  const rows = (report.events ?? []).slice(0, 50);
  const heading = h("h2", { id: "events-title" }, "Last events");
  if (!rows.length) return fill(place, [heading, h("p", { class: "empty" }, "None since the daemon started.")]);
  return fill(place, [
    heading,
    h(
      "div",
      { class: "scroll tall", tabindex: "0", role: "group", "aria-labelledby": "events-title" },
      h(
        "table",
        { class: "events" },
        h("thead", {}, h("tr", {}, ["When", "Source", "What", "Sequence"].map((one) => h("th", { scope: "col", class: one === "Sequence" ? "n" : null }, one)))),
        h("tbody", {}, rows.map((one) => h("tr", {},
          h("td", {}, when(one.at, "ago", now)),
          h("td", {}, foreign(one.source, 60)),
          h("td", {}, foreign(one.entity, 60), " ", h("span", { class: "change" }, foreign(one.change, 30))),
          h("td", { class: "n" }, number(one.seq)),
        ))),
      ),
    ),
  ]);
}

/** The instance, NATS, the stream, webhooks, alerts. */
export function system(place, report, now) {
  const { instance, nats, stream, webhooks } = report;
  fill(place, [
    h("h2", { id: "system-title" }, "This instance"),
    facts("Daemon", [
      ["name", foreign(instance.name, 120)],
      ["host", foreign(instance.host, 120)],
      ["process", instance.pid],
      ["build", foreign(instance.build, 80)],
      ["runs", when(instance.since, "for", now)],
      ["phase", foreign(instance.phase, 40)],
      ["configuration", instance.refused ? ["refused ", when(instance.refused.at, "ago", now), ": ", foreign(instance.refused.why)] : null],
      ...(report.conditions ?? []).map((one) => [["ready: ", foreign(one.name, 40)], one.holds ? "yes" : ["no", one.why ? [": ", foreign(one.why)] : null]]),
    ], "h3"),
    facts("NATS", nats ? [
      ["server", foreign(nats.server, 120)],
      ["version", foreign(nats.version, 40)],
      ["connected", nats.connected ? "yes" : nats.away_since ? ["no, ", when(nats.away_since, "for", now)] : "no"],
    ] : [], "h3"),
    facts("Stream", stream ? [
      ["name", foreign(stream.name, 80)],
      ["messages", number(stream.messages)],
      ["size", bytes(stream.bytes)],
      ["sequences", stream.messages ? `${number(stream.first_seq)} to ${number(stream.last_seq)}` : null],
      ["oldest", stream.messages && stream.first_ts ? when(stream.first_ts, "ago", now) : null],
      ["newest", stream.messages && stream.last_ts ? when(stream.last_ts, "ago", now) : null],
    ] : [], "h3"),
    facts("Webhooks", webhooks ? [
      ["listens at", (webhooks.addresses ?? []).map((one, index) => [index ? ", " : "", foreign(one, 80)])],
      ["requests", number(webhooks.requests)],
      ["connections turned away", number(webhooks.refused)],
      ["connections", number(webhooks.connections)],
    ] : [], "h3"),
    facts("Alerts", (report.alerts ?? []).map((alert) => [
      foreign(alert.name, 80),
      (alert.channels ?? []).length
        ? alert.channels.map((one, index) => [index ? "; " : "", foreign(one.name, 60), ": ", one.problem ? foreign(one.problem) : one.waiting ? `${number(one.waiting)} on the way` : "nothing waits"])
        : "no channel: nobody is told",
    ]), "h3"),
  ].filter(Boolean));
}
