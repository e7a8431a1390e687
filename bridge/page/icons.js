/** One shape for each tone, so that no state is told by colour alone. */

import { svg } from "./dom.js";

const SHAPES = {
  ok: ["M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1z", "M4.8 8.2l2.2 2.2 4.2-4.6"],
  busy: ["M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1z", "M8 4.4V8l2.6 1.8"],
  warn: ["M8 1.2L15.4 14.6H.6z", "M8 6v4M8 12.2v.4"],
  bad: ["M5.1 1h5.8L15 5.1v5.8L10.9 15H5.1L1 10.9V5.1z", "M5.6 5.6l4.8 4.8M10.4 5.6l-4.8 4.8"],
  idle: ["M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1z", "M6.2 5.4v5.2M9.8 5.4v5.2"],
  lost: ["M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1z", "M4.4 11.6l7.2-7.2"],
};

/** Beside words that say the same, so hidden from those who are read to. */
export function icon(tone) {
  const [body, mark] = SHAPES[tone] ?? SHAPES.idle;
  return svg(
    "svg",
    { class: "icon", viewBox: "0 0 16 16", "aria-hidden": "true", focusable: "false" },
    svg("path", { class: "body", d: body }),
    svg("path", { class: "stroke", d: mark }),
  );
}
