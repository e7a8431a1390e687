"""What is remembered between two processes: how far events were read, and what each rule has in mind. JSON values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bridge.core.alerts.decision import State
from bridge.core.record import Json


@dataclass(slots=True)
class Margin:
    """One rule's. `after`: its news lie behind this sequence. `state`: what it remembers."""

    after: int
    state: State = field(default_factory=dict)


@dataclass(slots=True)
class Notes:
    """`seq`: the last event that was read."""

    seq: int
    rules: dict[str, Margin] = field(default_factory=dict)

    def value(self) -> dict[str, Json]:
        """As it is stored."""
        rules = {name: {"after": rule.after, "state": rule.state} for name, rule in self.rules.items()}
        return {"seq": self.seq, "rules": rules}

    def enrol(self, names: Iterable[str], end: int) -> bool:
        """Let go of all rules but these. Those that are new begin behind `end`. Returns whether any came or went."""
        wanted = list(names)
        rules = {name: self.rules.get(name) or Margin(end) for name in wanted}
        changed = rules.keys() != self.rules.keys() or any(name not in self.rules for name in wanted)
        self.rules = rules
        return changed

    def restart(self, seq: int) -> None:
        """The stream is another one, or shorter: everything begins behind `seq`. What rules remember, they keep."""
        self.seq = seq
        for rule in self.rules.values():
            rule.after = seq


def read_notes(value: Mapping[str, Json] | None) -> Notes | None:
    """What `value` made; None where there is none, or somebody else's. Parts that cannot be read are left out."""
    if value is None or not _is_sequence(value.get("seq")):
        return None
    notes = Notes(value["seq"])
    rules = value.get("rules")
    for name, rule in rules.items() if isinstance(rules, Mapping) else ():
        if isinstance(rule, Mapping) and _is_sequence(rule.get("after")):
            state = rule.get("state")
            notes.rules[name] = Margin(rule["after"], dict(state) if isinstance(state, Mapping) else {})
    return notes


def _is_sequence(value: Json) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
