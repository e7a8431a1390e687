/** Numbers, spans and moments as people read them. */

import { h } from "./dom.js";

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const EXACT = new Intl.DateTimeFormat("en", { dateStyle: "long", timeStyle: "long", hourCycle: "h23" });
const CLOCK = new Intl.DateTimeFormat("en", { timeStyle: "medium", hourCycle: "h23" });

/** Such as `1,204`; a dash for what is not known. */
export function number(value) {
  return typeof value === "number" && Number.isFinite(value) ? WHOLE.format(value) : "–";
}

/** Such as `1 gap`, `2 gaps`. */
export function count(value, one, many = `${one}s`) {
  return `${number(value)} ${value === 1 ? one : many}`;
}

/** Such as `4.2 GB`. */
export function bytes(value) {
  if (typeof value !== "number") return "–";
  for (const [unit, size] of [["TB", 1e12], ["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) {
    if (value >= size) return `${(value / size).toFixed(1)} ${unit}`;
  }
  return count(value, "byte");
}

/** A length of time, such as `4 s`, `12 min`, `3 h 20 min`, `5 days`. */
export function span(seconds) {
  if (typeof seconds !== "number" || !Number.isFinite(seconds)) return "–";
  const s = Math.max(0, seconds);
  if (s < 59.5) return `${Math.round(s)} s`;
  const minutes = Math.round(s / 60);
  if (minutes < 60) return s < 600 && s % 60 >= 1 && s < 120 ? `${Math.floor(s / 60)} min ${Math.floor(s % 60)} s` : `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  const days = Math.floor(hours / 24);
  if (days < 10 && hours % 24) return `${count(days, "day")} ${hours % 24} h`;
  return count(days, "day");
}

/** Such as `per min`, `per 15 min`. */
export function per(seconds) {
  return `per ${span(seconds).replace(/^1 (?=\S+$)/, "")}`;
}

/** A measured time, such as `12 ms`. */
export function millis(value) {
  if (typeof value !== "number") return "–";
  if (value < 1) return "under 1 ms";
  return value < 10_000 ? `${number(value)} ms` : span(value / 1000);
}

/** The exact moment, in the reader's time zone. */
export function exact(moment) {
  return EXACT.format(moment);
}

/** Only the time of day. */
export function clock(moment) {
  return CLOCK.format(moment);
}

/**
 * A moment that goes on being told as the time from now: `ago` (4 min ago), `for` (for 4 min), `in` (in 4 min).
 * `stamp` is RFC 3339 text, or milliseconds since 1970. `tell` keeps it right.
 */
export function when(stamp, how, now) {
  const moment = stamp === null || stamp === undefined ? NaN : new Date(stamp).getTime();
  if (!Number.isFinite(moment)) return h("span", {}, "–");
  const date = new Date(moment);
  return h("time", { datetime: date.toISOString(), title: exact(date), "data-how": how }, relative(moment, how, now));
}

/** Bring every moment below `root` up to date. */
export function tell(root, now) {
  for (const element of root.querySelectorAll("time[data-how]")) {
    const text = relative(Date.parse(element.dateTime), element.dataset.how, now);
    if (element.textContent !== text) element.textContent = text;
  }
}

function relative(moment, how, now) {
  const past = (now - moment) / 1000;
  if (how === "for") return past < 1 ? "just now" : `for ${span(past)}`;
  if (how === "in") return past > -1 ? (past > 10 ? `due for ${span(past)}` : "now") : `in ${span(-past)}`;
  if (past < -1.5) return `in ${span(-past)}`;
  return past < 1 ? "just now" : `${span(past)} ago`;
}
