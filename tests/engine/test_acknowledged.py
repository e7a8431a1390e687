"""Events that ask to be acknowledged: the sender is told once the ledger has them, and of nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest
from anyio.abc import TaskStatus

from bridge.adapter import Malformed, Retry
from bridge.engine.ports import Offer
from tests.support.engine import Bench
from tests.support.scripted import OneWay, Stage, row, run


def told(bench: Bench, note: list[tuple[str, bool]], name: str) -> Callable[[], None]:
    """Notes that it was told, and whether the ledger held the entity by then."""

    def stored() -> None:
        held = {e.data.get("id") for e in bench.ledger.events}
        quarantined = any(e.subject.startswith("events.bridge.acme.quarantine.") for e in bench.ledger.events)
        note.append((name, quarantined if name == "odd" else name in held))

    return stored


def test_whoever_asks_is_told_once_the_ledger_has_it() -> None:
    """Not before, however long that takes; in the order in which it came; what was stored already is told, too."""
    note: list[tuple[str, bool]] = []

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        status.started()
        await anyio.sleep(20)
        bench.ledger.latency_s = 5.0
        offer(row("a"), 1, told(bench, note, "a"))
        offer(row("b"), 1)
        offer(row("c"), 1, told(bench, note, "c"))
        offer(row("a"), 1, told(bench, note, "a"))
        await anyio.sleep(4.9)
        assert note == []
        await anyio.sleep_forever()

    bench = Stage(hold, walks=False)
    run(bench, 60)
    assert note == [("a", True), ("c", True), ("a", True)]


@pytest.mark.parametrize("what", ["failure", "look", "away", "cut off"])
def test_nobody_is_told_what_the_ledger_may_not_have(what: str) -> None:
    """A failure, a hint to look, a ledger that went away, a session that ended: the vendor may send it again."""
    note: list[tuple[str, bool]] = []

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        status.started()
        if len(bench.tokens) > 1:
            await anyio.sleep_forever()
        await anyio.sleep(20)
        frame: Any = {"failure": Retry("busy"), "look": {"look": "thing"}}.get(what, row("a"))
        if what in ("away", "cut off"):
            bench.ledger.latency_s = 30.0
        offer(frame, 1, told(bench, note, "a"))
        await anyio.sleep(5)
        if what == "away":
            bench.ledger.drop_connection()
        bench.ledger.latency_s = 0.0
        if what == "cut off":
            raise Retry("hung up")
        await anyio.sleep_forever()

    bench = Stage(hold)
    run(bench, 200)
    assert note == []


def test_what_is_quarantined_is_stored() -> None:
    """The vendor need not send again what nobody can read."""
    note: list[tuple[str, bool]] = []

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        status.started()
        await anyio.sleep(20)
        offer(Malformed("odd", raw=b"{"), 1, told(bench, note, "odd"))
        await anyio.sleep_forever()

    bench = Stage(hold)
    run(bench, 60)
    assert note == [("odd", True)]


def test_what_is_doubted_is_not_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two pushes in a moment the second may be the older: the vendor is asked, and may send it again."""
    monkeypatch.setattr(OneWay, "push_disorder_s", 2.0)
    note: list[tuple[str, bool]] = []

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        status.started()
        await anyio.sleep(20)
        offer(row("a", "1"), 1, told(bench, note, "a"))
        await anyio.sleep(0.1)
        offer(row("a", "2"), 1, told(bench, note, "a"))
        await anyio.sleep(10)
        offer(row("b", "1"), 1, told(bench, note, "b"))
        await anyio.sleep_forever()

    bench = Stage(hold)
    run(bench, 60)
    assert note == [("a", True), ("b", True)]
