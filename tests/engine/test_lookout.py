"""What only the stream knows is looked up while somebody looks, and never in a hurry. On a virtual clock."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import anyio.lowlevel

from bridge.core.errors import Away
from bridge.core.report.overview import Overview
from bridge.engine.lookout import Lookout
from tests.support.engine import on_virtual_clock


class Stream:
    """Answers at once, unless it is `away` or `hangs`; notes when it was asked for what."""

    def __init__(self, count: int) -> None:
        self.names = [f"s{number}" for number in range(count)]
        self.asked: list[tuple[float, str]] = []
        self.surveys = 0
        self.away = self.hangs = False
        self.lookout = Lookout(self.look, self.survey, lambda: [("sim", name) for name in self.names], lambda: 1000)

    async def look(self, vendor: str, source: str) -> Overview:
        await anyio.lowlevel.checkpoint()
        if self.hangs:
            await anyio.sleep_forever()
        if self.away:
            raise Away("nobody answers")
        self.asked.append((anyio.current_time(), source))
        return Overview(source, vendor, condition="connected")

    async def survey(self) -> None:
        self.surveys += 1

    def during(self, script: Callable[[], Awaitable[None]]) -> None:
        async def main() -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(self.lookout.run)
                await script()
                group.cancel_scope.cancel()

        on_virtual_clock(main)


def test_nobody_looks_nothing_is_asked() -> None:
    """For a whole day."""
    stream = Stream(5)

    async def script() -> None:
        await anyio.sleep(86_400)
        assert (stream.asked, stream.surveys) == ([], 0)
        assert stream.lookout.seen("s0") is None

    stream.during(script)


def test_who_asks_once_waits_for_all() -> None:
    """Everything is there when it returns, and for a little while it is kept fresh; then it is let be."""
    stream = Stream(5)

    async def script() -> None:
        await stream.lookout.refresh(2.0)
        seen = stream.lookout.seen("s4")
        assert seen is not None
        assert (seen.view.condition, seen.at_ms) == ("connected", 1000)
        assert len(stream.asked) == 5
        await anyio.sleep(3600)
        assert len(stream.asked) == 10
        assert stream.lookout.seen("s4") is None, "an hour old is no news"

    stream.during(script)


def test_while_somebody_looks_nothing_is_older_than_it_may_be() -> None:
    """Each source is asked every ten seconds or so, and what all have in common every five."""
    stream = Stream(3)

    async def script() -> None:
        with stream.lookout.watching():
            await anyio.sleep(100)
        times = [at for at, name in stream.asked if name == "s1"]
        assert 8 <= len(times) <= 10
        assert 17 <= stream.surveys <= 21

    stream.during(script)


def test_never_more_than_twenty_sources_a_second() -> None:
    """However many there are; who waits for all of them waits no longer than it wants to."""
    stream = Stream(1000)

    async def script() -> None:
        begun = anyio.current_time()
        await stream.lookout.refresh(2.0)
        assert anyio.current_time() - begun == 2.0
        assert 20 <= len(stream.asked) <= 60
        with stream.lookout.watching():
            await anyio.sleep(120)
        for at, _ in stream.asked:
            assert sum(at <= other < at + 1 for other, _ in stream.asked) <= 20
        assert len({name for _, name in stream.asked}) == 1000

    stream.during(script)


def test_trouble_keeps_what_is_known_until_it_is_stale() -> None:
    """NATS away or hanging: nothing ends, it is tried again every few seconds, and healed by itself."""
    stream = Stream(2)

    async def script() -> None:
        with stream.lookout.watching():
            await anyio.sleep(5)
            stream.away = True
            await anyio.sleep(20)
            assert stream.lookout.seen("s0") is not None
            stream.away, stream.hangs = False, True
            await anyio.sleep(60)
            assert stream.lookout.seen("s0") is None
            stream.hangs = False
            await anyio.sleep(25)
            assert stream.lookout.seen("s0") is not None

    stream.during(script)


def test_a_source_that_is_gone_is_forgotten() -> None:
    """And one that is new is looked up."""
    stream = Stream(2)

    async def script() -> None:
        with stream.lookout.watching():
            await anyio.sleep(5)
            stream.names = ["s1", "new"]
            await anyio.sleep(15)
            assert stream.lookout.seen("s0") is None
            assert stream.lookout.seen("new") is not None

    stream.during(script)
