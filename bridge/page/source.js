/** One source: a row of what matters, and all the rest in a part that opens. */

import { icon } from "./icons.js";
import { foreign, h, svg } from "./dom.js";
import { spark, tally } from "./spark.js";
import { begun, complaints, state, tone } from "./verdict.js";
import { bytes, count, millis, number, per, span, when } from "./words.js";

/** The element of a source; its ages are those of the moment `source.told`. `opened`: whether its details are wanted; they are made only then. */
export function row(source, { now, lost, opened }) {
  const mood = tone(source, now);
  const numbers = tally(source.rate);
  return h(
    "li",
    { class: "source", id: anchor(source), "data-key": source.name, "data-tone": mood },
    h(
      "article",
      { "aria-labelledby": `${anchor(source)}-name` },
      h(
        "header",
        { class: "head" },
        h("h3", { class: "name", id: `${anchor(source)}-name`, tabindex: "-1" }, foreign(source.name, 120)),
        h("p", { class: "vendor" }, foreign(vendor(source), 120)),
        h("p", { class: "state" }, badge(source, mood, lost), " ", when(begun(source, mood), "for", now)),
      ),
      h("dl", { class: "facts" }, freshness(source, now, lost), heart(source, now), budget(source, now), token(source, now), losses(source)),
      h(
        "div",
        { class: "rate" },
        spark(source.rate),
        h("p", {}, h("strong", {}, number(numbers.last)), " a minute, ", number(numbers.total), " an hour"),
      ),
      h("details", { "data-source": source.name, open: opened }, h("summary", {}, ...glance(source, now)), opened ? details(source, now) : null),
    ),
  );
}

/** The id of a source's element. */
export function anchor(source) {
  return `source-${encodeURIComponent(source.name)}`;
}

/** The state as a word with a shape. */
export function badge(source, mood, lost = false) {
  const [word] = state(source);
  return h("span", { class: "badge", "data-tone": mood }, icon(mood), lost ? "Was " : "", lost ? lower(word) : word);
}

function lower(word) {
  return word.startsWith("NATS") ? word : word.toLowerCase();
}

function vendor(source) {
  return source.adapter && source.adapter !== source.vendor ? `${source.vendor} (${source.adapter})` : source.vendor;
}

function fact(term, value, more, { level = "", part = null } = {}) {
  return h(
    "div",
    { class: "fact", "data-level": level },
    h("dt", {}, term),
    h("dd", {}, h("span", { class: "value" }, value), part === null ? null : share(part), h("span", { class: "aside" }, more)),
  );
}

/** A part of a whole as a line; the numbers beside it say the same. */
function share(part) {
  const width = (100 * Math.max(0, Math.min(1, part))).toFixed(1);
  return svg(
    "svg",
    { class: "share", viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true", focusable: "false" },
    svg("rect", { class: "whole", width: 100, height: 4 }),
    svg("rect", { class: "part", width, height: 4 }),
  );
}

function freshness(source, now, lost) {
  const told = source.freshness;
  if (!told || told.age_s === null || told.age_s === undefined) return fact("Freshness", "–", source.takes ? "as soon as it is called" : source.here === false ? "another instance knows" : "not read to its end yet");
  const target = told.target_s ? `target ${span(told.target_s)}` : "no target";
  const part = told.target_s ? told.age_s / told.target_s : null;
  if (lost) return fact("Freshness", "unknown", `was ${span(told.age_s)}, ${target}`);
  return fact("Freshness", when(source.told - told.age_s * 1000, "ago", now), told.late ? `late: ${target}` : target, { level: told.late ? "warn" : "", part });
}

function heart(source, now) {
  const session = source.session;
  if (!session) return fact("Heartbeat", "–", source.takes ? "webhooks need none" : source.here === false ? "another instance knows" : "polled: no session");
  if (!session.live) return fact("Heartbeat", "not open", [when(session.shut_since, "for", now)], { level: "warn" });
  const every = session.beat_interval_s ? `, every ${span(session.beat_interval_s)}` : "";
  const last = session.last_beat ? [when(session.last_beat, "ago", now), every] : session.beat_interval_s ? [`none yet${every}`] : ["this session has none"];
  return fact("Heartbeat", session.round_trip_ms === null ? "open" : millis(session.round_trip_ms), session.stale ? ["not measured ", when(session.measured, "for", now)] : last, {
    level: session.stale ? "warn" : "",
  });
}

function budget(source, now) {
  const quota = source.quota;
  const plan = planned(source);
  if (!quota) return fact("Budget", "no limit", plan || "nothing is polled");
  const resets = quota.resets && Date.parse(quota.resets) > now ? ["resets ", when(quota.resets, "in", now)] : [per(quota.period_s)];
  if (quota.left === null) return fact("Budget", `${number(quota.limit)} ${per(quota.period_s)}`, plan);
  const part = quota.limit ? quota.left / quota.limit : 0;
  return fact("Budget", `${number(quota.left)} of ${number(quota.limit)}`, [...resets, plan && "; ", plan], {
    level: quota.left <= (quota.reserve ?? 0) ? "warn" : "",
    part,
  });
}

/** The plan in short: how often it is read, and whether that is less often than wished. */
function planned(source) {
  const walks = (source.walks ?? []).filter((walk) => walk.planned_s ?? walk.every_s);
  if (!walks.length) return "";
  const slowest = walks.reduce((a, b) => ((a.planned_s ?? a.every_s) >= (b.planned_s ?? b.every_s) ? a : b));
  const every = slowest.planned_s ?? slowest.every_s;
  const wish = slowest.every_s;
  return wish && every > wish * 1.01 ? `read every ${span(every)} instead of ${span(wish)}` : `read every ${span(every)}`;
}

function token(source, now) {
  const told = source.token;
  if (!told) return fact("Token", "–", source.here === false ? "another instance knows" : "none that ends");
  const age = told.age_s === null ? "" : `${span(told.age_s)} old`;
  const times = told.renewals > 1 ? `renewed ${count(told.renewals - 1, "time")}` : "";
  const ends = told.expires_in_s === null ? "does not end" : told.expires_in_s > 0 ? `ends in ${span(told.expires_in_s)}` : "has ended";
  const value = told.renew_in_s === null ? ends : when(source.told + told.renew_in_s * 1000, "in", now);
  return fact(told.renew_in_s === null ? "Token" : "Token renewal", value, [age, times].filter(Boolean).join(", "), { level: told.expires_in_s !== null && told.expires_in_s <= 0 ? "warn" : "" });
}

function losses(source) {
  const gaps = source.open_gaps?.length ?? 0;
  const aside = source.quarantined ?? 0;
  return fact("Gaps", gaps ? `${number(gaps)} open` : "none", aside ? `${number(aside)} in quarantine` : "quarantine empty", { level: gaps ? "warn" : aside ? "note" : "" });
}

function glance(source, now) {
  const last = source.last_event;
  const owner = source.here === false ? source.owner?.instance : null;
  return [
    "Details",
    h("span", { class: "unseen" }, " of ", foreign(source.name, 120)),
    last?.observed ? [" · last event ", what(last), when(last.observed, "ago", now)] : " · no event yet",
    owner ? [" · held by ", foreign(owner, 60)] : null,
  ];
}

/** Which entity and change, where that is told; never an id. */
function what(event) {
  return event.entity ? [foreign(event.entity, 40), " ", foreign(event.change, 20), ", "] : null;
}

function details(source, now) {
  const [, , meaning] = state(source);
  const trouble = tone(source, now);
  return h(
    "div",
    { class: "inside" },
    h("p", { class: "meaning" }, meaning, source.state_reason && !source.problems?.length ? [" ", foreign(source.state_reason)] : null),
    ["bad", "warn"].includes(trouble) ? h("ul", { class: "complaints" }, complaints(source).map((one) => h("li", {}, foreign(one)))) : null,
    walks(source, now),
    subscriptions(source, now),
    gaps(source, now),
    facts("Counted since the daemon started", counted(source.counts)),
    facts("Live session", sessionFacts(source, now)),
    facts("Where from", origin(source, now)),
  );
}

function table(caption, heads, rows) {
  if (!rows.length) return null;
  const name = h("table", {}, h("caption", {}, caption), h("thead", {}, h("tr", {}, heads.map((one) => h("th", { scope: "col" }, one)))), h("tbody", {}, rows));
  return h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": caption }, name);
}

function walks(source, now) {
  const rows = (source.walks ?? []).map((walk) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, foreign(walk.name, 120)),
      h("td", {}, walk.completed ? when(walk.completed, "ago", now) : "not yet", walk.late ? " (late)" : ""),
      h("td", {}, walk.rows !== null && walk.rows !== undefined ? `now at row ${number(walk.rows)}${walk.total ? ` of ${number(walk.total)}` : ""}` : when(walk.next, "in", now)),
      h("td", {}, span(walk.planned_s ?? walk.every_s)),
      h("td", {}, span(walk.every_s)),
      h("td", { class: "n" }, number(walk.cost)),
    ),
  );
  return table("What is read, and when", ["Walk", "Complete", "Next", "Every", "Wished", "Requests"], rows);
}

function subscriptions(source, now) {
  const rows = (source.subscriptions ?? []).map((one) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, foreign(one.name, 120)),
      h("td", {}, one.off ? ["refused ", when(one.off, "for", now), one.reason ? [": ", foreign(one.reason)] : null] : one.verified ? "works" : "nothing has arrived yet"),
      h("td", {}, one.first ? when(one.first, "ago", now) : "–"),
    ),
  );
  return table("Subscriptions", ["Name", "How it is", "First event"], rows);
}

function gaps(source, now) {
  const rows = (source.open_gaps ?? []).map((gap) =>
    h("tr", {}, h("th", { scope: "row" }, when(gap.from, "ago", now)), h("td", {}, foreign(gap.feed ?? "–", 120)), h("td", {}, foreign(gap.reason ?? "–"))),
  );
  return table("Open gaps: changes may be missing", ["Since", "Of", "Why"], rows);
}

/** Terms and values, without those that are not known. */
export function facts(title, pairs, heading = "h4") {
  const known = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "–" && value !== "");
  if (!known.length) return null;
  return h("div", { class: "group" }, h(heading, { class: "title" }, title), h("dl", { class: "pairs" }, known.map(([term, value]) => h("div", {}, h("dt", {}, term), h("dd", {}, value)))));
}

function counted(counts) {
  if (!counts) return [];
  const changes = Object.entries(counts.by_change ?? {}).map(([change, many]) => [foreign(change, 40), number(many)]);
  return [
    ["received", number(counts.received)],
    ["stored", number(counts.stored)],
    ...changes,
    ["unchanged", number(counts.unchanged)],
    ["duplicates avoided", number(counts.duplicates)],
    ["quarantined", number(counts.quarantined)],
  ];
}

function sessionFacts(source, now) {
  const { session, inbox } = source;
  const waiting = inbox ? [["waiting now", `${count(inbox.frames, "frame")}, ${bytes(inbox.bytes)}`], ["overruns", inbox.overruns ? number(inbox.overruns) : null]] : [];
  if (!session) return waiting;
  return [
    ["frames", number(session.frames)],
    ["last frame", session.last_frame ? when(session.last_frame, "ago", now) : null],
    ["sessions so far", number(session.sessions)],
    ["acknowledged", session.acks ? number(session.acks) : null],
    ["odd", session.odd ? number(session.odd) : null],
    ["unreadable", session.unreadable ? number(session.unreadable) : null],
    ["filtered", session.filtered ? number(session.filtered) : null],
    ...waiting,
  ];
}

function origin(source, now) {
  const { owner, last_quarantine: aside, last_event: last } = source;
  return [
    ["adapter", source.adapter ? foreign(source.adapter, 120) : null],
    ["webhooks at", source.takes ? foreign(source.takes, 120) : null],
    ["announced", source.condition ? [foreign(source.condition, 60), source.since ? [" ", when(source.since, "for", now)] : null] : null],
    ["tried again", source.again ? when(source.again, "in", now) : null],
    ["held by", owner?.instance ? [foreign(owner.instance, 120), owner.since_ms ? [" ", when(owner.since_ms, "for", now)] : null] : null],
    ["build", owner?.build ? foreign(owner.build, 60) : null],
    ["last event", last?.observed ? [when(last.observed, "ago", now), last.seq ? `, sequence ${number(last.seq)}` : ""] : null],
    ["last quarantined", aside?.observed ? [when(aside.observed, "ago", now), aside.reason ? [": ", foreign(aside.reason)] : null] : null],
    ["refused for quota", source.quota?.refused ? count(source.quota.refused, "time") : null],
  ];
}
