"""One page from the vendor: token, budget, request, answer, and one renewal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest
import structlog

from bridge.adapter import (
    Allowance,
    Ask,
    Block,
    Login,
    Page,
    Refused,
    Request,
    Response,
    Retry,
    Secret,
    Token,
    TooComplex,
    Walk,
)
from bridge.core.budget import Limit
from bridge.core.errors import CursorExpired, Malformed
from bridge.engine.quota import Quota
from bridge.engine.reader import PATIENCE, Reader
from tests.support import sim_vendor as sim
from tests.support.engine import on_virtual_clock
from tests.support.sim_vendor import SimAdapter, SimSettings, SimVendor, wall

ASK = Ask(Walk("things", "thing", 10, page_size=3), None)
THROTTLED = sim.status(429, **{"retry-after": "20"})


class Setting:
    """A reader and the vendor it asks."""

    def __init__(self, adapter: type[SimAdapter] = SimAdapter) -> None:
        self.vendor = SimVendor()
        self.vendor.put("a", "1")
        self.learned: list[Secret] = []
        adapter_ = adapter(SimSettings(name="acme", adapter="sim"))
        self.quota = Quota(Limit(100_000, 60.0))
        self.reader = Reader(adapter_, self.vendor, self.quota, wall, self.learned.append)

    def fault(self, *faults: Callable[[Response], Response] | None) -> None:
        """The first login passes without."""
        self.vendor.faults.extend(faults)


def test_a_page() -> None:
    """Logs in once, counts requests, and makes the token known."""

    async def main() -> None:
        setting = Setting()
        for _ in range(3):
            page = await setting.reader.page(ASK)
            assert [row["id"] for row in page.rows] == ["a"]
        assert setting.vendor.logins == 1
        assert setting.reader.requests == 4
        assert len(setting.learned) == 1

    on_virtual_clock(main)


def test_one_401_is_an_expiry() -> None:
    """A new token, and the page."""

    async def main() -> None:
        setting = Setting()
        setting.fault(sim.status(401))
        assert (await setting.reader.page(ASK)).rows
        assert setting.vendor.logins == 2

    on_virtual_clock(main)


def test_two_401_are_a_refusal() -> None:
    """A new token changes nothing: a human is called, told which walk it was, and the vendor is not asked for ever."""

    async def main() -> None:
        setting = Setting()
        setting.fault(sim.status(401), None, sim.status(401))
        with pytest.raises(Refused, match=r"walk things: refused again with a new token.*check"):
            await setting.reader.page(ASK)
        assert setting.vendor.logins == 2

    on_virtual_clock(main)


def test_a_401_in_the_next_page_is_again_an_expiry() -> None:
    """Each page has its own renewal."""

    async def main() -> None:
        setting = Setting()
        setting.fault(sim.status(401), None, None, sim.status(401), None, None)
        await setting.reader.page(ASK)
        await setting.reader.page(ASK)
        assert setting.vendor.logins == 3

    on_virtual_clock(main)


def test_over_quota_is_waited_for() -> None:
    """For as long as the vendor says; then the page comes, and the count starts over."""

    async def main() -> None:
        setting = Setting()
        setting.fault(*[THROTTLED] * (PATIENCE - 1))
        start = anyio.current_time()
        assert (await setting.reader.page(ASK)).rows
        assert anyio.current_time() - start == pytest.approx(20 * (PATIENCE - 1), abs=1)
        assert setting.quota.refusals == PATIENCE - 1
        setting.fault(*[THROTTLED] * (PATIENCE - 1))
        assert (await setting.reader.page(ASK)).rows

    on_virtual_clock(main)


def test_over_quota_again_and_again_is_reported() -> None:
    """After so many refusals in a row the source says so; the budget stays paused."""

    async def main() -> None:
        setting = Setting()
        setting.fault(*[THROTTLED] * 20)
        with pytest.raises(Retry, match="for quota"):
            await setting.reader.page(ASK)
        assert len(setting.vendor.faults) == 20 - PATIENCE
        assert setting.quota.budget.wait(anyio.current_time()) == pytest.approx(20, abs=1)

    on_virtual_clock(main)


def test_quota_during_a_renewal_is_waited_for_too() -> None:
    """401, then 429 to the login that follows: the pause is kept, and the renewal done after it."""

    class Counted(SimAdapter):
        def login(self) -> Login:
            response = yield Request("POST", "sim:login")
            self._raise_for(response)
            token: Token = yield from super().login()
            return token

    async def main() -> None:
        setting = Setting(Counted)
        await setting.reader.page(ASK)
        setting.fault(sim.status(401), THROTTLED)
        start = anyio.current_time()
        assert (await setting.reader.page(ASK)).rows
        assert anyio.current_time() - start == pytest.approx(20, abs=1)

    on_virtual_clock(main)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (sim.status(500), Retry),
        (sim.status(403), Refused),
        (sim.status(410), CursorExpired),
        (sim.garbage, Malformed),
    ],
)
def test_other_errors_pass(fault: Callable[[Response], Response], error: type[Exception]) -> None:
    """What to do about them is decided elsewhere; nothing is repeated here."""

    async def main() -> None:
        setting = Setting()
        setting.fault(fault, fault)
        with pytest.raises(error):
            await setting.reader.page(ASK)
        assert len(setting.vendor.faults) == 1

    on_virtual_clock(main)


def test_requests_carry_the_limits_of_the_settings() -> None:
    """Deadline and size come from the configuration; what does not count is not charged."""

    class Http:
        seen: list[dict[str, Any]]

        def __init__(self) -> None:
            self.seen = []

        async def send(self, request: Request, **limits: Any) -> Response:
            self.seen.append(limits)
            return Response(200, {}, b"")

    async def main() -> None:
        http, quota = Http(), Quota(Limit(1, 60.0))
        adapter = SimAdapter(SimSettings(name="acme", adapter="sim", max_body_mb=2, request_timeout_s=7))
        reader = Reader(adapter, http, quota, wall, lambda _: None)
        start = anyio.current_time()
        for _ in range(3):
            await reader.send(Request("GET", "x", counts=False))
        assert anyio.current_time() == start
        for _ in range(2):
            await reader.send(Request("GET", "x"))
        assert anyio.current_time() - start == 60
        assert http.seen == [{"timeout_s": 7, "max_bytes": 2 * 1024 * 1024}] * 5

    on_virtual_clock(main)


class Complex(SimAdapter):
    """A vendor that takes no more than `most` rows or ids at once."""

    def page(self, ask: Ask, response: Response) -> Page:
        super().page(ask, response)
        asked.append(ask)
        if (len(ask.ids) or ask.walk.page_size) > most[0]:
            raise TooComplex("429 without a time")
        return Page([{"id": id_} for id_ in ask.ids], aliases={f"new-{id_}": id_ for id_ in ask.ids})


asked: list[Ask] = []
most = [50]


def test_a_page_that_is_too_complex_is_halved_until_it_is_not() -> None:
    """Never repeated as it is; the size is remembered for this walk, and each halving is one line for a human."""

    async def main() -> None:
        setting = Setting(Complex)
        asked.clear()
        most[0] = 7
        ask = Ask(Walk("things", "thing", 10, page_size=50), None)
        with structlog.testing.capture_logs() as logs:
            await setting.reader.page(ask)
            await setting.reader.page(ask)
            await setting.reader.page(Ask(Walk("others", "thing", 10, page_size=5), None))
        assert [one.walk.page_size for one in asked] == [50, 25, 12, 6, 6, 5]
        assert [(line["log_level"], line["asked_for"], line["from_now_on"]) for line in logs] == [
            ("error", 50, 25), ("error", 25, 12), ("error", 12, 6),
        ]  # fmt: skip
        assert {(line["event"], line["source"], line["walk"]) for line in logs} == {
            ("query.too_complex", "acme", "things")
        }

    on_virtual_clock(main)


def test_one_record_that_is_too_complex_is_refused() -> None:
    """There is nothing smaller: a human has to ask for fewer fields."""

    async def main() -> None:
        setting = Setting(Complex)
        asked.clear()
        most[0] = 0
        with pytest.raises(Refused, match=r"walk things: even one record at a time is too complex .* fewer fields"):
            await setting.reader.page(Ask(Walk("things", "thing", 10, page_size=5), None))
        assert [one.walk.page_size for one in asked] == [5, 2, 1]

    on_virtual_clock(main)


def test_ids_are_looked_up_in_smaller_portions() -> None:
    """All of them, in order, as one page; the next time in portions from the start."""

    async def main() -> None:
        setting = Setting(Complex)
        asked.clear()
        most[0] = 2
        ask = Ask(Walk("known", "thing", 10, batch=5), None, ids=("a", "b", "c", "d", "e"))
        for expected in ([5, 2, 2, 1], [2, 2, 1]):
            asked.clear()
            page = await setting.reader.page(ask)
            assert [len(one.ids) for one in asked] == expected
            assert [row["id"] for row in page.rows] == ["a", "b", "c", "d", "e"]
            assert page.aliases == {f"new-{id_}": id_ for id_ in "abcde"}

    on_virtual_clock(main)


def test_allowances_are_told_by_answers_to_requests_that_count() -> None:
    """By refusals, too; not by logins of another host, and what a refusal cost says nothing of the query."""

    class Telling(SimAdapter):
        def allowance(self, response: Response) -> Allowance | None:
            told.append(response.status)
            return Allowance(26, 0, 93.6)

    told: list[int] = []

    async def main() -> None:
        setting = Setting(Telling)
        setting.fault(THROTTLED)
        await setting.reader.page(ASK)
        assert told == [429, 200]
        assert setting.vendor.logins == 1

    on_virtual_clock(main)


def test_blocks_are_told_by_answers_and_requests_end_however_they_do() -> None:
    """What is left counts for the next one; a request that never got an answer is not on its way for ever."""

    class Telling(SimAdapter):
        def allowance(self, response: Response) -> Block | None:
            return Block(3, 100.5) if response.status == 200 else None

    def gone(_: Response) -> Response:
        raise Retry("timeout")

    async def main() -> None:
        setting = Setting(Telling)
        await setting.reader.page(ASK)
        assert setting.quota.gauge().left == 3
        setting.fault(gone, sim.status(500))
        for _ in range(2):
            with pytest.raises(Retry):
                await setting.reader.page(ASK)
        # The vendor may have counted both.
        assert setting.quota.gauge().left == 1
        await setting.reader.page(ASK)
        assert setting.quota.gauge().left == 3

    on_virtual_clock(main)


def test_what_a_walk_costs_is_counted_until_it_is_asked_for() -> None:
    """Every request of its own, answered or refused; logins and other walks are not its."""

    async def main() -> None:
        setting = Setting()
        setting.fault(THROTTLED, sim.status(500))
        with pytest.raises(Retry):
            await setting.reader.page(ASK)
        await setting.reader.page(ASK)
        await setting.reader.page(Ask(Walk("others", "thing", 10), None))
        assert (setting.reader.spent(ASK.walk), setting.reader.spent(ASK.walk)) == (3, 0)

    on_virtual_clock(main)
