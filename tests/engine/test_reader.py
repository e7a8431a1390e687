"""One page from the vendor: token, budget, request, answer, and one renewal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from bridge.adapter import Ask, Login, Refused, Request, Response, Retry, Secret, Token, Walk
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
