"""The ledger is honest: it equals the state, says what was served and when, and follows from the seed."""

from __future__ import annotations

from collections import Counter
from typing import Any

import aiohttp
import anyio
import pytest

from bridge.sandbox.ledger import Change
from bridge.sandbox.pcvisit import Options, PcvisitSandbox, pcvisit_sandbox
from bridge.sandbox.pcvisit_world import DAY, WEIGHTS
from tests.sandbox.client import PAGED_WORK_HISTORY, SHORT_WORK_HISTORY, Client, ids
from tests.sandbox.conftest import NOW_MS, HandClock, Play
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio


def story(seed: int) -> list[dict[str, Any]]:
    clock = HandClock()
    sandbox = PcvisitSandbox(Options(seed=seed, clock=clock, deletes=True))
    for _ in range(300):
        clock.advance(7)
        sandbox.make_change()
    return [change.to_json() for change in sandbox.ledger.changes]


async def test_the_same_seed_makes_the_same_changes() -> None:
    """Seed and clock decide everything; another seed makes other changes."""
    assert story(3) == story(3)
    assert story(3) != story(4)


async def test_every_kind_of_change_happens() -> None:
    """New, closed, edited, edited back, late and (if switched on) deleted sessions all occur."""
    kinds = Counter(entry["kind"] for entry in story(5))
    assert set(WEIGHTS) | {"sample", "initial", "deleted"} <= set(kinds)
    quiet = PcvisitSandbox(Options(clock=HandClock()))
    assert "deleted" not in {change.kind for change in quiet.make_change(500)}


async def test_the_ledger_replayed_is_the_state() -> None:
    """The last entry of each session is what the vendor holds; nothing else is."""
    sandbox = PcvisitSandbox(Options(seed=8, clock=HandClock(), deletes=True))
    sandbox.make_change(400)
    replayed: dict[str, dict[str, Any]] = {company: {} for company in sandbox.companies}
    for change in sandbox.ledger.changes:
        if change.record is None:
            del replayed[change.scope][change.id]
        else:
            assert (change.operation == "created") is (change.id not in replayed[change.scope])
            replayed[change.scope][change.id] = change.record
    assert replayed == sandbox.state()
    assert [change.seq for change in sandbox.ledger.changes] == list(range(1, len(sandbox.ledger) + 1))


async def test_changes_touch_old_sessions_and_never_the_samples() -> None:
    """Edits reach back for days but stay within 35; the published samples stay as published."""
    sandbox = PcvisitSandbox(Options(seed=9, clock=HandClock()))
    edits = [c for c in sandbox.make_change(400) if c.operation == "updated"]
    ages = [NOW_MS - c.record["sessionCreatedAt"] for c in edits if c.record is not None]
    assert max(ages) > 7 * DAY
    assert max(ages) < 35 * DAY
    assert not any(c.id.startswith("session-") for c in edits)
    late = sandbox.make_change(kind="late")[0].record
    assert late is not None
    assert late["sessionCreatedAt"] < NOW_MS


async def test_a_flip_is_followed_by_its_return() -> None:
    """A → B → A: `revert` brings back what `flip` changed, as a change of its own."""
    sandbox = PcvisitSandbox(Options(seed=1, clock=HandClock()))
    [there] = sandbox.make_change(kind="flip")
    [back] = sandbox.make_change(kind="revert")
    before = next(c for c in sandbox.ledger.changes if c.id == there.id)
    assert there.record is not None
    assert back.id == there.id
    assert back.record == before.record != there.record


async def test_an_unknown_kind_of_change_is_refused() -> None:
    """A slip of the pen is an error."""
    sandbox = PcvisitSandbox(Options(clock=HandClock()))
    with pytest.raises(ValueError, match="custom_duration"):
        sandbox.make_change(kind="cutsom_duration")


async def test_recent_samples_lie_in_the_last_two_days() -> None:
    """The option moves the published records by whole days, so that a short window holds them."""
    sandbox = PcvisitSandbox(Options(clock=HandClock(), recent_samples=True))
    record = sandbox.ledger.changes[0].record
    assert record is not None
    assert 0 < NOW_MS - record["sessionCreatedAt"] < 2 * DAY
    assert record["sessionCreatedAt"] % DAY == 1609459200000 % DAY


def served(client: Client) -> dict[str, int]:
    return {c.id: c.served_ms for c in client.sandbox.ledger.changes if c.served_ms is not None}


async def test_a_version_is_served_when_a_page_has_carried_it(play: Play, clock: HandClock) -> None:
    """The first page that carries a version stamps it; a later page does not stamp it again."""
    async with play() as client:
        assert served(client) == {}
        page = await client.page(length=5)
        assert served(client) == dict.fromkeys(ids(page), NOW_MS)
        clock.advance(5)
        await client.page(length=6)
        assert Counter(served(client).values()) == {NOW_MS: 5, NOW_MS + 5000: 1}


async def test_a_query_that_leaves_fields_out_serves_nothing(play: Play) -> None:
    """Who does not ask for what changes is not told of the change."""
    async with play() as client:
        await client.ask(PAGED_WORK_HISTORY, client.variables())
        await client.ask(SHORT_WORK_HISTORY, client.variables())
        assert served(client) == {}


async def test_a_version_overwritten_before_any_page_is_never_served(play: Play) -> None:
    """Of two edits between two reads only the second is served."""
    async with play(companies=1) as client:
        [first] = client.sandbox.make_change(kind="flip")
        [second] = client.sandbox.make_change(kind="revert")
        await client.page(length=100)
        assert first.id == second.id
        assert (first.served_ms, second.served_ms) == (None, NOW_MS)


async def test_a_late_row_moves_the_rows_behind_it(play: Play) -> None:
    """Cursors are positions: a row that comes in before one makes the last row of the page before come again."""
    async with play(companies=1) as client:
        first = await client.page(length=30)
        [late] = client.sandbox.make_change(kind="late")
        second = await client.page(length=30, cursor=first["nodes"][-1]["cursor"])
        assert late.id not in ids(second)
        assert ids(second)[0] == ids(first)[-1]


async def test_background_changes_come_at_the_rate_set() -> None:
    """Changes happen by themselves, faster or not at all when told so."""
    async with pcvisit_sandbox(Options(rate=200.0, history=0)) as sandbox:
        await wait_until(lambda: len(sandbox.ledger) > 40)
        sandbox.set_rate(0)
        await anyio.wait_all_tasks_blocked()
        count = len(sandbox.ledger)
        sandbox.set_rate(100)
        began = anyio.current_time()
        await wait_until(lambda: len(sandbox.ledger) >= count + 20)
        assert anyio.current_time() - began > 0.15
    with pytest.raises(ValueError, match="between 0 and 10000"):
        sandbox.set_rate(-1)


async def test_without_a_rate_nothing_happens_by_itself() -> None:
    """The default is a vendor that changes only when told to."""
    async with pcvisit_sandbox(Options(history=1)) as sandbox, aiohttp.ClientSession() as http:
        count = len(sandbox.ledger)
        for _ in range(20):
            await Client(sandbox, http).login()
        assert len(sandbox.ledger) == count


async def test_a_change_survives_the_way_over_json() -> None:
    """What another process reads from the control interface is the entry itself."""
    change = PcvisitSandbox(Options(clock=HandClock())).ledger.changes[0]
    assert Change.from_json(change.to_json()) == change
