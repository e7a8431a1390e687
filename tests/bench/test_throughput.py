"""The throughput bench itself: what is sent can be told apart, what is stored is counted, and a loss fails it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from adapters import pcvisit, platform
from bridge.adapter import Ask, Record, Secret, Walk
from bridge.core.settings import Subscription
from tests.bench import throughput
from tests.bench.throughput_frames import first_ms, frames, number_of, rows
from tests.bench.throughput_report import Throughput
from tests.bench.throughput_tally import Tally

BASE = 1_795_373_000_000_000
_SECRET = Secret("secret-of-the-bench", "bench")


def _told(data: bytes) -> Any:
    """The text of a frame as servers send it; each has a length of two bytes more."""
    text = data[4:].decode()
    assert data[:2] == b"\x81\x7e"
    assert int.from_bytes(data[2:4], "big") == len(data) - 4
    return text


def _platform() -> platform.Adapter:
    settings = platform.Settings(
        name="things", adapter="platform", base_url="https://things.invalid", auth="issued", token=_SECRET,
        stores=["objects"], packets=False,
    )  # fmt: skip
    return platform.Adapter(settings)


def test_sessions_told_apart() -> None:
    """Each GraphQL frame is one session in pcvisit's own mapping, and bears its own number."""
    changes = Subscription(name="changes", document="subscription { change { id } }", shape="session")
    settings = pcvisit.Settings(
        name="sessions", adapter="pcvisit", http_url="https://sessions.invalid/graphql", integrator_token=_SECRET,
        user_token=_SECRET, subscription=[changes],
    )  # fmt: skip
    adapter = pcvisit.Adapter(settings)
    found = []
    for data in frames("graphql", "7", BASE, 100):
        message = msgspec.json.decode(_told(data))
        assert (message["id"], message["type"]) == ("7", "next")
        (record,) = adapter.live({"operation": "changes", "payload": message["payload"]})
        assert isinstance(record, Record)
        found.append(record)
    assert [number_of(record.id, BASE) for record in found] == list(range(100))


@pytest.mark.parametrize(("kind", "entity"), [("packets", "packet"), ("entities", "object")])
def test_pushes_told_apart(kind: Any, entity: str) -> None:
    """Each push of Socket.IO is one packet, or one row that has changed, and bears its own number."""
    adapter, found = _platform(), []
    for data in frames(kind, "", BASE, 100):
        text = _told(data)
        assert text[:2] == "42"
        name, *args = msgspec.json.decode(text[2:])
        (record,) = adapter.live({"name": name, "args": args})
        assert isinstance(record, Record)
        assert record.entity == entity
        found.append(number_of(record.id, BASE))
    assert found == list(range(100))


def test_rows_told_apart() -> None:
    """Each row that is read is an object that was created a millisecond after the one before, on the day before."""
    adapter, walk = _platform(), Walk("objects", "object", 60.0)
    made = [msgspec.json.decode(row) for row in rows(BASE, 100)]
    found = [adapter.record(Ask(walk, None, None), row) for row in made]
    assert [number_of(record.id, BASE) for record in found] == list(range(100))
    assert [row["time"] for row in made] == [first_ms(BASE) + number for number in range(100)]
    assert first_ms(BASE) == 1_795_286_600_000


def test_tally(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every event counts once; of the others of the run, it tells how late they were and how many were behind."""
    clock = iter([50_000_000, 60_000_000, 200_000_000])
    monkeypatch.setattr("time.perf_counter_ns", lambda: next(clock))
    tally = Tally()
    tally.expect(BASE, 10)
    tally.note(f"x-{BASE + number}" for number in range(5))
    tally.note([f"x-{BASE + 4}", "of-another-run", f"x-{BASE - 1}", f"x-{BASE + 10}"])
    assert (tally.stored, tally.twice) == (5, 1)
    tally.note(f"x-{BASE + number}" for number in range(5, 10))
    told = tally.account(0, 100.0)
    assert told == {
        "stored": 10, "twice": 1, "last_ns": 200_000_000, "p50": 110.0, "p99": 150.0, "half": 5, "end": 5,
    }  # fmt: skip


@pytest.mark.chaos
async def test_small(tmp_path: Path, anyio_backend_name: str) -> None:
    """A small run takes every kind from vendor to stream, and loses nothing."""
    assert anyio_backend_name == "asyncio"
    found = await throughput.measure(tmp_path, Throughput(300, 100, 0.2, 1))
    assert [figure.failure for figure in found] == ["", "", ""]
    assert [len(figure.lines) for figure in found[:2]] == [10, 6]
