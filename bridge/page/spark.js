/** Events per minute as a small picture, with the same in words. */

import { svg } from "./dom.js";
import { number } from "./words.js";

const STEP = 3;
const BAR = 2;
const HEIGHT = 28;
const LOWEST_PEAK = 4;

/** What the last hour comes to: `{last, peak, total}`; `last` is the last whole minute, or the first while it runs. */
export function tally(rate) {
  const numbers = (rate ?? []).map((one) => (Number.isFinite(one) && one > 0 ? one : 0));
  const begun = numbers.slice(0, -1).some((one) => one > 0);
  return {
    last: numbers.at(begun ? -2 : -1) ?? 0,
    peak: Math.max(0, ...numbers),
    total: numbers.reduce((sum, one) => sum + one, 0),
  };
}

/** The picture: one bar a minute, oldest first. The minute that still runs is paler. */
export function spark(rate) {
  const numbers = (rate ?? []).map((one) => (Number.isFinite(one) && one > 0 ? one : 0));
  const { last, peak, total } = tally(rate);
  const top = Math.max(peak, LOWEST_PEAK);
  const bar = (value, index) => {
    if (!value) return "";
    const height = Math.max(1.5, (value / top) * HEIGHT).toFixed(1);
    return `M${index * STEP} ${HEIGHT}v-${height}h${BAR}v${height}z`;
  };
  const label = total
    ? `Events per minute in the last hour: ${number(last)} in the last whole minute, ${number(peak)} at most, ${number(total)} in all`
    : "No event in the last hour";
  const before = numbers.slice(0, -1).map(bar).join("");
  return svg(
    "svg",
    {
      class: "spark",
      role: "img",
      "aria-label": label,
      viewBox: `0 0 ${60 * STEP} ${HEIGHT + 1}`,
      preserveAspectRatio: "none",
      focusable: "false",
    },
    svg("path", { class: "floor", d: `M0 ${HEIGHT + 0.5}h${60 * STEP}` }),
    svg("path", { class: "bars", d: before || "M0 0" }),
    svg("path", { class: "bars now", d: numbers.length ? bar(numbers.at(-1), numbers.length - 1) || "M0 0" : "M0 0" }),
  );
}

/** Of several sources together. */
export function together(rates) {
  const sum = new Array(60).fill(0);
  for (const rate of rates) (rate ?? []).forEach((value, index) => (sum[index] += Number.isFinite(value) ? value : 0));
  return sum;
}
