"""Live records that occur once, many at a time: the stream never holds one twice, whatever befell its writers."""

from __future__ import annotations

import pytest

from bridge.core.errors import Away
from bridge.engine.sequencer import Sequencer
from tests.engine.test_sequencer import play
from tests.support.desk import Desk, once
from tests.support.memory_ledger import Fault

MANY = [once(f"{number:04}", number) for number in range(600)]
FEW = MANY[:200]
ALL = [(f"{number:04}", "occurred", number) for number in range(600)]


def test_many_are_stored_in_batches_in_the_order_they_came() -> None:
    """Each once, also where one came twice in the same call; of fewer than 250 each is a message of its own."""

    async def scene(desk: Desk, sequencer: Sequencer) -> None:
        await sequencer.once([*MANY, MANY[3], MANY[599]])
        assert sequencer.counts.batches == 1
        assert sequencer.counts.refused == 0
        await sequencer.once([once("late"), once("later")])
        assert sequencer.counts.batches == 1
        await sequencer.once([])
        assert sequencer.counts.stored == 602

    assert play(scene).told() == [*ALL, ("late", "occurred", "x"), ("later", "occurred", "x")]


def test_what_was_stored_before_is_left_out() -> None:
    """By a page, by an earlier push, or before the process began: the stream refuses the batch, and a look tells."""

    async def scene(desk: Desk, sequencer: Sequencer) -> None:
        await desk.page(sequencer, *MANY[:100])
        for record in MANY[590:]:
            desk.foreign(record, "occurred")
        await sequencer.once(MANY)
        assert sequencer.counts.refused == 1
        again = await desk.open()
        await again.once(MANY)
        assert again.counts.stored == 0

    told = play(scene).told()
    assert sorted(told) == ALL
    assert len(told) == 600


@pytest.mark.parametrize("fault", [Fault.UNKNOWN_STORED, Fault.UNKNOWN_LOST, Fault.STALE])
def test_a_batch_that_met_trouble_is_stored_all_the_same(fault: Fault) -> None:
    """Once, and the one after it too."""

    async def scene(desk: Desk, sequencer: Sequencer) -> None:
        desk.ledger.commit_faults.append(fault)
        await sequencer.once(MANY)

    assert play(scene).told() == ALL


@pytest.mark.parametrize("fault", [Fault.UNKNOWN_STORED, Fault.UNKNOWN_LOST, Fault.STALE])
def test_messages_that_met_trouble_are_stored_all_the_same(fault: Fault) -> None:
    """Once, and those beside them too: the first two are looked for, and sent again if they are not there."""

    async def scene(desk: Desk, sequencer: Sequencer) -> None:
        desk.ledger.append_faults.extend([fault, fault])
        await sequencer.once(FEW)
        assert sequencer.counts.stored + sequencer.counts.duplicates == 200
        assert sequencer.counts.refused + sequencer.counts.unknown == 2
        await sequencer.once(FEW)

    told = play(scene).told()
    assert sorted(told) == ALL[:200]
    assert len(told) == 200


def test_a_message_that_is_always_refused_is_given_up() -> None:
    """Three times, each time after a look: then the source is opened anew. Those beside it are stored."""

    async def scene(desk: Desk, sequencer: Sequencer) -> None:
        desk.ledger.append_faults.extend([Fault.STALE] * 402)
        with pytest.raises(Away, match="refused 3 times"):
            await sequencer.once(FEW)
        assert not desk.ledger.append_faults

    assert play(scene).told() == ALL[2:200]


def test_a_batch_that_is_always_refused_is_given_up() -> None:
    """Three times, each time after a look: then the source is opened anew."""

    async def scene(desk: Desk, sequencer: Sequencer) -> None:
        desk.ledger.commit_faults.extend([Fault.STALE] * 10)
        with pytest.raises(Away, match="refused 3 times"):
            await sequencer.once(MANY)
        assert len(desk.ledger.commit_faults) == 7

    assert play(scene).told() == []
