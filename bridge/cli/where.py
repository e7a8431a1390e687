"""`--where`: shows only events for which an expression holds, and says on how many it has failed."""

from __future__ import annotations

from bridge.cli import output
from bridge.cli.exits import Exit
from bridge.cli.plain import plain
from bridge.core.alerts.condition import BadCondition, Condition, ConditionFailed
from bridge.edge.nats.jetstream import Message
from bridge.events import NotAnEvent, parse

HELP = (
    "only events for which this CEL expression is true, such as 'after.state == \"finished\"'; it may name vendor, "
    "source, entity, change, id, ce_id, type, time, observed, via, version, after, before, changed"
)

AROUND = 35
"""So many characters are shown on either side of a mistake."""


class Where:
    """`Where(None)` lets everything pass. `failed`: for how many events the expression had no answer."""

    def __init__(self, condition: Condition | None) -> None:
        self._condition = condition
        self.failed = 0

    def __call__(self, message: Message) -> bool:
        """Whether the event in a message is to be shown. The first failure is said at once."""
        if self._condition is None:
            return True
        try:
            return self._condition(parse(message.subject, message.headers, message.payload).variables())
        except (ConditionFailed, NotAnEvent) as error:
            self.failed += 1
            if self.failed == 1:
                output.complain(
                    plain(f"bridged: --where failed on the event at sequence {message.seq}, which is left out: {error}")
                )
            return False

    def close(self) -> None:
        """The last word, unless all has been said."""
        if self.failed > 1:
            output.complain(f"bridged: --where failed on {self.failed} events; they are left out")


def where(text: str | None) -> Where | Exit:
    """The condition, or the exit code where it is none: what is wrong with it, and where, has been said then."""
    if text is None:
        return Where(None)
    # The expression language is loaded only where it is spoken.
    from bridge.edge.condition import compile_condition

    try:
        return Where(compile_condition(text))
    except BadCondition as error:
        output.complain(plain(f"bridged: --where: {error}"))
        _point_at(text, error.line, error.column)
        return Exit.USAGE


def _point_at(text: str, line: int, column: int) -> None:
    """Show the place, and as much around it as fits a narrow terminal."""
    lines = text.splitlines()
    if 0 < line <= len(lines) and column > 0:
        start = max(0, column - 1 - AROUND)
        output.complain(f"  {plain(lines[line - 1][start : column - 1 + AROUND])}")
        output.complain(f"  {' ' * (column - 1 - start)}^")
