"""`bridged replay`: publishes a part of the stream's events once more, for one consumer, under subjects of its own."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence

import anyio

from bridge.cli import configuration, output
from bridge.cli.broker import PermissionMissing, ledger_names
from bridge.cli.exits import Exit
from bridge.cli.filters import pattern
from bridge.cli.loop import run as run_loop
from bridge.cli.moments import moment
from bridge.cli.replay_report import Tally, bar, broken_off, report
from bridge.cli.tail_telemetry import telemetry_hint
from bridge.cli.visit import visiting
from bridge.cli.where import HELP as WHERE
from bridge.cli.where import Where, where
from bridge.core.errors import Away
from bridge.edge.config.loader import Config
from bridge.edge.nats.connection import NatsConnection
from bridge.edge.nats.jetstream import Message
from bridge.edge.operator.replay import Replay, Span

OURS = ("bridge", "events", "live", "telemetry")
"""What the bridge's own streams take and republish begins with these."""
MOST_RATE = 1_000_000
PIECES_PER_S = 10
LONGEST_TARGET = 200


def configure(parser: argparse.ArgumentParser) -> None:
    """`bridged replay FILTER --since T --to SUBJECT [--until T] [--where EXPR] [--rate N] [--dry-run]`."""
    parser.add_argument(
        "filter", metavar="FILTER", type=pattern, help="which events, as for `bridged tail`; '>' for all"
    )
    parser.add_argument(
        "--since",
        type=moment,
        metavar="T",
        required=True,
        help="those stored from then on: a span such as 1h or 7d, or a time such as 2026-01-31T12:00:00Z",
    )
    parser.add_argument("--until", type=moment, metavar="T", help="those stored before then (default: now)")
    parser.add_argument(
        "--to",
        type=target,
        metavar="SUBJECT",
        required=True,
        help="the beginning of the subjects to publish to: with replay.billing an event goes to "
        "replay.billing.VENDOR.SOURCE.ENTITY.CHANGE.ID",
    )
    parser.add_argument("--where", metavar="EXPR", help=WHERE)
    parser.add_argument("--rate", type=_rate, metavar="N", help="at most N events per second (default: no limit)")
    parser.add_argument("--dry-run", action="store_true", help="publish nothing, and say how many it would be")


def run(args: argparse.Namespace) -> int:
    """Publish them. Raises ConfigErrors."""
    if args.until is not None and args.until <= args.since:
        output.complain("bridged: --until must be later than --since")
        return Exit.USAGE
    wanted = where(args.where)
    if isinstance(wanted, Exit):
        return wanted
    config = configuration.load(args, vendor_secrets=False)
    if hint := telemetry_hint(args.filter, config).replace("tail does not show", "is not replayed"):
        output.complain(f"bridged: {hint}")
    try:
        return run_loop(_run, args, config, wanted)
    finally:
        wanted.close()


async def _run(args: argparse.Namespace, config: Config, wanted: Where) -> int:
    names = ledger_names(config.nats)
    async with visiting(config) as connection:
        client = connection.client
        reading = Span(client, names, subjects=args.filter, start=args.since, until=args.until)
        state = await reading.open()
        if taken := _taken_by(args.to, state.config.get("subjects") or ()):
            output.complain(f"bridged: stream {names.stream} itself stores {taken}: choose another --to")
            return Exit.USAGE
        tally = Tally()
        if args.dry_run:
            while found := await reading.take():
                _choose(found, wanted, tally)
            return report(args, tally, None)
        replay = Replay(client, args.to)
        try:
            async with replay:
                await _publish(args, connection, reading, replay, wanted, tally)
        except Away as error:
            broken_off(args, tally, replay)
            if connection.connected:
                raise
            raise Away(f"{connection.problem or error}") from error
        except anyio.get_cancelled_exc_class():
            broken_off(args, tally, replay)
            raise
        return report(args, tally, replay)


async def _publish(
    args: argparse.Namespace, connection: NatsConnection, reading: Span, replay: Replay, wanted: Where, tally: Tally
) -> None:
    pace = _Pace(args.rate)
    with bar(args, reading) as shown:
        while found := await reading.take():
            for piece in pace.pieces(_choose(found, wanted, tally), first=replay.sent == 0):
                await pace.wait(len(piece))
                await replay.publish(piece)
                if any(one.action == "publish" and one.subject.startswith(args.to) for one in connection.denied):
                    raise PermissionMissing(
                        f"NATS denies this user publish on {args.to}.>; grant it and ask again; nothing was published"
                    )
                shown.at(piece[-1].seq, replay.sent)
            shown.at(found[-1].seq, replay.sent)


def _choose(found: list[Message], wanted: Where, tally: Tally) -> list[Message]:
    tally.read += len(found)
    chosen = [message for message in found if wanted(message)]
    for message in chosen:
        tally.add(message)
    return chosen


class _Pace:
    """Cuts portions into pieces, and says when the next one may go."""

    def __init__(self, rate: int | None) -> None:
        self._rate = rate
        self._due = anyio.current_time()

    def pieces(self, messages: list[Message], *, first: bool) -> list[list[Message]]:
        """The first message of all goes alone: it shows whether we may publish there."""
        if not messages:
            return []
        size = len(messages) if self._rate is None else max(1, self._rate // PIECES_PER_S)
        cut = 1 if first else 0
        rest = [messages[at : at + size] for at in range(cut, len(messages), size)]
        return [messages[:1], *rest] if first else rest

    async def wait(self, count: int) -> None:
        """Returns when so many may go. What was missed is not made up for."""
        if self._rate is None:
            return
        await anyio.sleep_until(self._due)
        self._due = max(self._due, anyio.current_time()) + count / self._rate


def target(text: str) -> str:
    """The beginning of subjects that nothing of ours takes. Raises ArgumentTypeError."""
    first = text.partition(".")[0]
    if text.startswith("$") or first.startswith("_INBOX"):
        raise argparse.ArgumentTypeError(f"not a target: {text!r}: subjects that begin with {first} are NATS's own")
    if first in OURS:
        raise argparse.ArgumentTypeError(
            f"not a target: {text!r}: {first}.> is the bridge's own, where nobody else publishes; take something like "
            "replay.billing"
        )
    if len(text) > LONGEST_TARGET or not re.fullmatch(r"[A-Za-z0-9_=-]+(\.[A-Za-z0-9_=-]+)*", text):
        raise argparse.ArgumentTypeError(
            f"not a target: {text!r}: expected words of letters, digits, _ and -, between them dots, such as "
            "replay.billing; no wildcards"
        )
    return text


def _taken_by(to: str, subjects: Sequence[str]) -> str:
    """Which of a stream's subjects may store something that is published below `to`; "" for none."""
    # Of what follows only its number is certain.
    published = [*to.split("."), "*", "*", "*", "*", "*"]
    return next((one for one in subjects if _overlap(one.split("."), published)), "")


def _overlap(one: Sequence[str], other: Sequence[str]) -> bool:
    if one[-1] == ">":
        return len(other) >= len(one) and _overlap(one[:-1] or ["*"], other[: max(1, len(one) - 1)])
    return len(one) == len(other) and all(a == b or "*" in (a, b) for a, b in zip(one, other, strict=True))


def _rate(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,7}", text) or not 0 < int(text) <= MOST_RATE:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 to {MOST_RATE:,}, got {text!r}")
    return int(text)
