/** Judges: how a source is, how all is, and what to do about it. Facts in, words out; touches no element. */

import { count, span } from "./words.js";

const STATES = {
  opening: ["Opening", "busy", "It reads from the stream what is known of this source."],
  standby: ["Standby", "idle", "Another instance works for it; this one takes over when that one stops."],
  connecting: ["Connecting", "busy", "It logs in at the vendor and opens its session."],
  catching_up: ["Catching up", "busy", "It reads what changed meanwhile; live messages wait until that is done."],
  live: ["Live", "ok", "Everything known up to now is stored, and changes flow."],
  waiting: ["Waiting", "warn", "The vendor failed. It is tried again by itself."],
  away: ["NATS away", "bad", "NATS cannot be written to. The vendor keeps what is new until it can."],
  blocked: ["Blocked", "bad", "The vendor refuses it for good. A person is needed."],
  stopped: ["Stopped", "idle", "It ended in order."],
};

/** From bad to good: the order of the sources, too. */
export const TONES = ["bad", "warn", "busy", "ok", "idle"];
const HICCUP_S = 30;

/** What the state is called and means: `[word, tone, meaning]`. A state that this page does not know is shown as it is. */
export function state(source) {
  return STATES[source.state] ?? [String(source.state ?? "unknown"), "idle", ""];
}

/** One of TONES. A first failure that is some seconds old is no trouble yet: it is tried again. */
export function tone(source, now) {
  const [, usual] = state(source);
  if (usual === "bad" || source.condition === "blocked") return "bad";
  if (source.problems?.length || source.open_gaps?.length || source.freshness?.late) return "warn";
  if (source.state === "waiting" && now - Date.parse(source.state_since) < HICCUP_S * 1000) return "busy";
  return usual;
}

/** Since when it is as it is: in trouble since the first failure, as each attempt begins a state anew. */
export function begun(source, mood) {
  const failing = ["bad", "warn"].includes(mood) && source.state !== "live";
  return failing && source.failing_since ? source.failing_since : source.state_since;
}

/** Who needs somebody, the worst first. */
export function troubled(sources, now) {
  return ranked(sources, now).filter((source) => ["bad", "warn"].includes(tone(source, now)));
}

/** All, problems first; equals in the order of the configuration. */
export function ranked(sources, now) {
  const keyed = sources.map((source) => [TONES.indexOf(tone(source, now)), source]);
  return keyed.sort(([a], [b]) => a - b).map(([, source]) => source);
}

/** How all is, in words: `{tone, words, more}`. */
export function verdict(report, now) {
  const { sources, instance, nats } = report;
  const trouble = troubled(sources, now);
  const bad = trouble.some((source) => tone(source, now) === "bad");
  const unmet = (report.conditions ?? []).filter((one) => !one.holds);
  const why = unmet.map((one) => (one.why ? `${one.name}: ${one.why}` : one.name)).join("; ");
  if (instance.phase === "stopping") return { tone: "warn", words: "Stopping", more: "What is under way is stored first." };
  if (nats && nats.connected === false) {
    return {
      tone: "bad",
      words: "NATS cannot be reached",
      more: "Nothing is lost: sources pause, and go on from where they stood. See whether nats-server runs and can be reached from here.",
    };
  }
  if (trouble.length) {
    const words = trouble.length === 1 && sources.length > 1
      ? "1 source needs attention"
      : trouble.length === 1 ? "The source needs attention" : `${count(trouble.length, "source")} need attention`;
    const rest = sources.length - trouble.length;
    const more = rest ? `The other ${rest === 1 ? "one is" : `${count(rest, "source")} are`} not affected.` : "";
    return { tone: bad ? "bad" : "warn", words, more };
  }
  if (instance.phase === "starting") return { tone: "busy", words: "Starting", more: why && `Waiting for ${why}` };
  if (unmet.length) return { tone: "warn", words: "Not ready", more: why };
  if (instance.refused) return { tone: "warn", words: "A new configuration was refused", more: String(instance.refused.why ?? "") };
  if (undelivered(report).length) return { tone: "warn", words: "An alert is not delivered", more: "All sources are well." };
  if (!sources.length) {
    return { tone: "idle", words: "No source is configured", more: "The daemon runs and waits. See below for how to add the first source." };
  }
  if (instance.phase === "reloading") return { tone: "busy", words: "Reading its configuration anew", more: "" };
  const under = sources.filter((source) => tone(source, now) === "busy").length;
  if (under) {
    const words = under === sources.length ? "Catching up" : `${count(under, "source")} not live yet`;
    return { tone: "busy", words, more: "Nothing to do: this takes as long as there is to read." };
  }
  if (report.ok === false) return { tone: "warn", words: "Something needs attention", more: report.headline ?? "" };
  return { tone: "ok", words: "All is well", more: "" };
}

/** Channels of alerts that are in trouble: `{alert, channel, problem}`. */
export function undelivered(report) {
  return (report.alerts ?? []).flatMap((alert) =>
    (alert.channels ?? []).filter((one) => one.problem).map((one) => ({ alert: alert.name, channel: one.name, problem: one.problem })),
  );
}

/** What is wrong with a source, each as a sentence. The server's own words where there are any. */
export function complaints(source) {
  if (source.problems?.length) return source.problems.map(sentence);
  const found = [];
  if (source.state_reason) found.push(source.state_reason);
  else if (source.reason && source.condition !== "connected" && source.condition !== "recovered") found.push(source.reason);
  if (source.freshness?.late) {
    found.push(`It was last known complete ${span(source.freshness.age_s)} ago, and should be every ${span(source.freshness.target_s)}.`);
  }
  if (source.open_gaps?.length) found.push(`${count(source.open_gaps.length, "gap is", "gaps are")} open.`);
  return found.length ? found.map(sentence) : [state(source)[2]];
}

/** Begins with a capital letter, unless it begins with a name. */
function sentence(text) {
  return String(text).replace(/^(?:the|an?|it|its|nothing|live|deletes|never)\b/, (word) => word[0].toUpperCase() + word.slice(1));
}

/** What to do: sentences, each as its parts; a part `{command}` is to be copied. */
export function advice(source) {
  const resync = (how) => ({ command: `bridged resync ${shell(source.name)} ${how}` });
  const check = { command: "bridged check --online" };
  if (source.half === "deletes") return [["Look at the vendor whether so much is really gone. If it is, say so: ", resync("--accept-deletes")]];
  if (source.state === "away") return [["See whether nats-server runs and can be reached. Nothing is lost; it goes on by itself."]];
  if (source.state === "blocked" || source.condition === "blocked") {
    return [["Do what the reason says: mostly its credentials, or the rights they have at the vendor. Then ask: ", check]];
  }
  const found = [];
  if (source.subscriptions?.some((one) => one.off)) found.push(["A subscription is refused; which, and why: ", check]);
  if (source.state === "waiting") found.push(["Nothing yet: it is tried again by itself, and nothing is lost. If it lasts, see whether the vendor has an outage."]);
  if (source.open_gaps?.length) found.push(["If the vendor still has what may have been missed, read it again: ", resync(`--since ${since(source.open_gaps)}`)]);
  if (source.freshness?.late && !found.length) {
    found.push(["It is read less often than it should be: see its budget below. A smaller interval does not help where the quota is used up."]);
  }
  return found.length ? found : [["See the daemon's log for this source."]];
}

function since(gaps) {
  const first = gaps.map((gap) => String(gap.from ?? "")).filter((from) => /^[\d:.TZ+-]+$/.test(from)).sort()[0];
  return first?.replace(/\.\d+/, "") || "7d";
}

/** A name as one word of a shell. One that is no plain word is not put into what people copy. */
function shell(name) {
  return /^[A-Za-z0-9_][\w.-]{0,99}$/.test(String(name)) ? name : "SOURCE";
}
