"""Two writers, and a vendor whose records bear no version: which of two observations is newer cannot be told."""

from __future__ import annotations

import pytest

from bridge.core.errors import Away
from bridge.core.record import Record
from tests.support.desk import Desk, thing
from tests.support.engine import on_virtual_clock


@pytest.mark.parametrize("live", [True, False], ids=["live", "page"])
@pytest.mark.parametrize("known", [True, False], ids=["updated", "created"])
def test_what_was_read_before_another_wrote_is_not_stored_after_it(live: bool, known: bool) -> None:
    """We read B and slept, another process read and stored C: B must not follow C. Read again, C is nothing new."""
    desk = Desk()

    async def scene() -> None:
        if known:
            await (await desk.open()).live([thing("a", "A")])
        sleeper = await desk.open()
        head = await desk.book.head(desk.scribe.key("thing", "a"))
        desk.foreign(thing("a", "C"), "updated" if known else "created", head)
        with pytest.raises(Away, match="somebody else wrote"):
            await (sleeper.live([thing("a", "B")]) if live else desk.page(sleeper, thing("a", "B"), thing("b", 1)))
        again = await desk.open()
        await desk.page(again, thing("a", "C"), thing("b", 1))

    on_virtual_clock(scene)
    assert [value for id_, _, value in desk.told() if id_ == "a"] == [*(["A"] if known else []), "C"]
    assert [value for id_, _, value in desk.told() if id_ == "b"] == [1]


@pytest.mark.parametrize("record", [thing("a", "C"), thing("a", "D", 4)], ids=["same content", "newer version"])
def test_what_can_be_told_is_no_dispute(record: Record) -> None:
    """Where both saw the same, or a version says which is newer, nobody needs to read again."""
    desk = Desk()

    async def scene() -> None:
        sequencer = await desk.open()
        desk.foreign(thing("a", "C", 3 if record.version else None), "created")
        await desk.page(sequencer, record, cursor={"at": 1})

    on_virtual_clock(scene)
    assert [value for _, _, value in desk.told()] == (["C", "D"] if record.version else ["C"])
    assert desk.cursor() == {"at": 1}
