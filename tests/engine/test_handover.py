"""Make before break, on a virtual clock: sessions that follow one another while tokens expire."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

import anyio
import pytest
from anyio.abc import TaskStatus

from bridge.adapter import Login, Request, Response, Retry, Secret, Token, Unauthorized
from bridge.core.ending import Ending
from bridge.core.errors import BridgeError, Refused
from bridge.core.facts import GraphqlSession, Operation
from bridge.core.meter import Meter
from bridge.engine.handover import OPEN_S, Handover
from bridge.engine.keeper import TokenKeeper
from bridge.engine.ports import Offer
from bridge.engine.subscriptions import GraphqlFeed
from tests.support.dialects import TRANSPORT, Peer, Speaker
from tests.support.engine import on_virtual_clock
from tests.support.holding import Hold, Taken, holding
from tests.support.memory_socket import memory_sockets
from tests.support.sim_vendor import SimAdapter, SimSettings, wall
from tests.support.waiting import wait_until

SETTLE_S = 2.0


class Vendor(SimAdapter):
    """Issues tokens that live for `life_s`, and sessions that end with them, as some vendors' do.

    `errors`: what the next attempts to open a session end in; `log`: what happened, with the time.
    """

    def __init__(self, life_s: float | None, *, margin_s: float = 60.0, strict: bool = True) -> None:
        super().__init__(SimSettings(name="acme", adapter="sim"))
        self.life_s = life_s
        self.strict = strict
        self.errors: list[BridgeError] = []
        self.login_error: BridgeError | None = None
        self.cuts: dict[str, BridgeError] = {}
        self.scissors = anyio.Event()
        self.settle_s = SETTLE_S
        self.connect_s = 0.1
        self.deaf_s = 0.0
        self.listens_at: dict[str, float] = {}
        self.logins = 0
        self.ends: dict[str, float] = {}
        self.refused: set[str] = set()
        self.open: dict[str, Offer] = {}
        self.opened: list[str] = []
        self.lapsed = 0
        self.most_open = 0
        self.told = count(1)
        self._margin_s = margin_s
        self.keeper = TokenKeeper(self, self.send, wall, lambda _: None)

    def login(self) -> Login:
        yield Request("POST", "login")
        if self.login_error is not None:
            raise self.login_error
        self.logins += 1
        name = f"token-{self.logins}"
        if self.life_s is None:
            self.ends[name] = float("inf")
            return Token(Secret(name))
        self.ends[name] = anyio.current_time() + self.life_s
        return Token(Secret(name), wall(), wall() + round(self.life_s * 1000))

    def token_margin_s(self, token: Token) -> float:
        return self._margin_s

    async def send(self, request: Request) -> Response:
        await anyio.sleep(0.05)
        return Response(200, {}, b"")

    def feed(self, token: Token) -> Session:
        return Session(self, token.value.bare())

    def cut(self, name: str, error: BridgeError) -> None:
        """End a session by this error: at once, or as soon as it has settled."""
        self.cuts[name] = error
        self.scissors.set()
        self.scissors = anyio.Event()

    def push(self) -> int:
        """Tell every session that listens; returns the number."""
        n = next(self.told)
        for name, offer in self.open.items():
            if anyio.current_time() < self.listens_at[name]:
                continue
            offer({"operation": "all", "payload": {"data": {"n": n}}}, 10)
        return n


class Session:
    """See `Feed`."""

    def __init__(self, vendor: Vendor, name: str) -> None:
        self._vendor = vendor
        self._name = name

    async def hold(self, offer: Offer, *, task_status: TaskStatus[None]) -> None:
        vendor, name = self._vendor, self._name
        vendor.lapsed += anyio.current_time() >= vendor.ends[name]
        await anyio.sleep(vendor.connect_s)
        if vendor.errors:
            raise vendor.errors.pop(0)
        if name in vendor.refused:
            raise Unauthorized(f"{name} is refused")
        vendor.opened.append(name)
        vendor.open[name] = offer
        vendor.listens_at[name] = anyio.current_time() + vendor.deaf_s
        vendor.most_open = max(vendor.most_open, len(vendor.open))
        try:
            await anyio.sleep(vendor.settle_s)
            task_status.started()
            left_s = vendor.ends[name] - anyio.current_time() if vendor.strict else None
            with anyio.move_on_after(left_s):
                while name not in vendor.cuts:
                    await vendor.scissors.wait()
                raise vendor.cuts[name]
            raise Unauthorized(f"{name} has expired")
        finally:
            del vendor.open[name]


def run(vendor: Vendor, script: Callable[[Hold, Handover], Awaitable[None]], every_s: float = 0.7) -> Taken:
    """Hold a handover while the script runs, with an event every `every_s` as soon as it has started."""
    taken = Taken()

    async def main() -> None:
        meter = Meter()
        handover = Handover(vendor.feed, vendor.keeper, roll=lambda: 1.0, meter=meter)
        async with holding(handover, taken) as hold, anyio.create_task_group() as group:
            group.start_soon(_push, vendor, hold, every_s)
            await script(hold, handover)
            group.cancel_scope.cancel()
        assert meter.endings[Ending.HANDOVER] == sum(meter.endings.values()) == handover.handovers

    on_virtual_clock(main)
    return taken


async def _push(vendor: Vendor, hold: Hold, every_s: float) -> None:
    await hold.settled.wait()
    while not hold.over.is_set():
        vendor.push()
        await anyio.sleep(every_s)


def whole(vendor: Vendor, taken: Taken) -> bool:
    """Whether everything that was pushed has arrived, once or twice."""
    return set(taken.numbers()) == set(range(1, next(vendor.told)))


@pytest.mark.parametrize(("life_s", "margin_s", "handovers"), [(600, 60, 12), (5, 60, 150), (3_600, 60, 2)])
def test_nothing_is_lost_over_many_handovers(life_s: float, margin_s: float, handovers: int) -> None:
    """Scenario 19: of all that is told all arrives, some twice; with tokens of 5 s as of hours; never a lapsed one."""
    vendor = Vendor(life_s, margin_s=margin_s)

    async def script(hold: Hold, handover: Handover) -> None:
        await anyio.sleep(7_300 if life_s > 5 else 500)
        assert not hold.over.is_set()
        assert handover.handovers >= handovers
        assert vendor.logins <= handover.handovers + 2

    taken = run(vendor, script, 0.7 if life_s > 5 else 0.17)
    assert whole(vendor, taken)
    assert len(taken.frames) > len(set(taken.numbers()))
    assert taken.reasons == []
    assert vendor.lapsed == 0
    assert vendor.most_open == 2
    assert vendor.opened == [f"token-{n}" for n in range(1, len(vendor.opened) + 1)]


def test_a_token_that_never_expires_is_never_handed_over() -> None:
    """One session for ever."""
    vendor = Vendor(None)

    async def script(hold: Hold, handover: Handover) -> None:
        await anyio.sleep(3_600)
        assert (handover.handovers, vendor.logins) == (0, 1)
        assert handover.token is await vendor.keeper.token()

    run(vendor, script)


def test_a_token_that_another_has_renewed_is_followed() -> None:
    """Requests renew it, too, when its margin begins: the session must not wait for the end of the newer one."""
    vendor = Vendor(600.0)

    async def script(hold: Hold, handover: Handover) -> None:
        await hold.wait_settled()
        for _ in range(400):
            await vendor.keeper.token()
            await anyio.sleep(5)
        assert not hold.over.is_set()
        assert handover.handovers >= 3

    assert whole(vendor, run(vendor, script))


def test_the_old_session_serves_until_the_new_one_listens() -> None:
    """The new one takes half a minute to settle; all that time the old one delivers, and then it ends."""
    vendor = Vendor(600.0)

    async def script(hold: Hold, handover: Handover) -> None:
        await hold.wait_settled()
        vendor.settle_s = 30
        await anyio.sleep(540 + 10)
        assert sorted(vendor.open) == ["token-1", "token-2"]
        assert handover.handovers == 0
        await anyio.sleep(25)
        assert list(vendor.open) == ["token-2"]
        assert handover.handovers == 1

    assert whole(vendor, run(vendor, script))


def test_a_server_that_listens_late_loses_nothing() -> None:
    """It says that the session stands, and listens four seconds later: the old one stays until the new one tells."""
    vendor = Vendor(600.0)

    async def script(hold: Hold, handover: Handover) -> None:
        await hold.wait_settled()
        vendor.deaf_s = SETTLE_S + 4
        await anyio.sleep(5_000)
        assert handover.handovers >= 8
        assert len(vendor.open) == 1

    taken = run(vendor, script)
    assert whole(vendor, taken)
    assert taken.reasons == []


def test_one_that_has_told_something_may_not_listen_to_all_of_it_yet() -> None:
    """For a second the old session stays in any case."""
    vendor = Vendor(600.0)
    open_after: list[int] = []

    async def script(hold: Hold, handover: Handover) -> None:
        await hold.wait_settled()
        await anyio.sleep(530)
        await wait_until(lambda: len(vendor.opened) == 2)
        await anyio.sleep(SETTLE_S + 0.9)
        open_after.append(len(vendor.open))
        await anyio.sleep(0.3)
        open_after.append(len(vendor.open))

    assert whole(vendor, run(vendor, script, 0.05))
    assert open_after == [2, 1]


def test_where_nothing_is_told_the_old_session_does_not_stay_for_long() -> None:
    """Five seconds after the new one has settled it ends all the same."""
    vendor = Vendor(600.0)

    async def script(hold: Hold, handover: Handover) -> None:
        await hold.wait_settled()
        await anyio.sleep(540 + 4)
        assert len(vendor.open) == 2
        await anyio.sleep(5)
        assert list(vendor.open) == ["token-2"]

    run(vendor, script, 100_000)


def test_a_new_session_that_ends_before_it_tells_does_not_end_the_old_one() -> None:
    """The old one serves on, and another takes its place a little later."""
    vendor = Vendor(600.0)

    async def script(hold: Hold, handover: Handover) -> None:
        await hold.wait_settled()
        vendor.deaf_s = SETTLE_S + 4
        vendor.cut("token-2", Retry("hung up"))
        await anyio.sleep(545)
        assert "token-1" in vendor.open
        assert handover.handovers == 0
        vendor.cuts.clear()
        await anyio.sleep(30)
        assert handover.handovers == 1

    taken = run(vendor, script)
    assert whole(vendor, taken)
    assert taken.reasons == []


@pytest.mark.parametrize("error", [Retry("502"), Refused("403"), Unauthorized("401"), Retry("429", after=3)])
def test_a_successor_that_cannot_be_opened_is_tried_again(error: BridgeError) -> None:
    """The old session goes on meanwhile; the attempts come less and less often; then the handover succeeds."""
    vendor = Vendor(600.0)

    async def script(hold: Hold, handover: Handover) -> None:
        await hold.wait_settled()
        vendor.errors = [error] * 4
        await anyio.sleep(580)
        assert vendor.errors == []
        assert handover.handovers == 1
        assert not hold.over.is_set()
        # A refused token is not tried again: it was renewed each time.
        assert vendor.logins == (6 if isinstance(error, Unauthorized) else 2)

    taken = run(vendor, script)
    assert whole(vendor, taken)
    assert taken.reasons == []


def test_a_token_that_cannot_be_renewed() -> None:
    """The old session is kept to its end, which is raised; no session is opened with the old token again."""
    vendor = Vendor(600.0)

    async def script(hold: Hold, handover: Handover) -> None:
        await hold.wait_settled()
        vendor.login_error = Retry("the login is down")
        error = await hold.ended(1_000)
        assert str(error) == "token-1 has expired"
        assert isinstance(error, Unauthorized)
        assert vendor.opened == ["token-1"]

    assert whole(vendor, run(vendor, script))


def test_a_vendor_that_lets_old_sessions_live_keeps_them() -> None:
    """Where nothing can be opened for hours and the vendor does not cut the session, it is not cut by us either."""
    vendor = Vendor(600.0, strict=False)

    async def script(hold: Hold, handover: Handover) -> None:
        await hold.wait_settled()
        vendor.errors = [Retry("502")] * 100
        await anyio.sleep(5_000)
        assert not hold.over.is_set()
        vendor.errors = []
        await anyio.sleep(70)
        assert handover.handovers == 1

    assert whole(vendor, run(vendor, script))


def test_the_old_session_ends_while_the_new_one_opens() -> None:
    """The new one goes on, and what was missed between the two is read again, once the new one listens."""
    vendor = Vendor(600.0)

    async def script(hold: Hold, handover: Handover) -> None:
        await hold.wait_settled()
        vendor.settle_s = 30
        await anyio.sleep(545)
        vendor.cut("token-1", Retry("hung up"))
        await anyio.sleep(20)
        assert not hold.over.is_set()
        assert hold.taken.reasons == []
        await anyio.sleep(10)
        assert handover.handovers == 1
        assert hold.taken.reasons == ["the live session ended before its successor listened: hung up"]
        assert not hold.over.is_set()

    run(vendor, script)


@pytest.mark.parametrize("error", [Retry("502"), Refused("403"), Unauthorized("401")])
def test_both_fail(error: BridgeError) -> None:
    """The old one ends while the new one opens, and that one fails: its error is raised, and its token is named."""
    vendor = Vendor(600.0)

    async def script(hold: Hold, handover: Handover) -> None:
        await hold.wait_settled()
        vendor.connect_s, vendor.errors = 30, [error]
        await anyio.sleep(545)
        vendor.cut("token-1", Retry("hung up"))
        assert await hold.ended(60) is error
        assert handover.token is not None
        assert handover.token.value.bare() == "token-2"

    run(vendor, script)


@pytest.mark.parametrize("error", [Retry("hung up"), Refused("no"), Unauthorized("revoked")])
def test_a_session_that_ends_before_its_time_is_told(error: BridgeError) -> None:
    """The runner decides what happens next; for Unauthorized it finds the token that was refused."""
    vendor = Vendor(600.0)

    async def script(hold: Hold, handover: Handover) -> None:
        await anyio.sleep(700)
        assert handover.handovers == 1
        vendor.cut("token-2", error)
        assert await hold.ended() is error
        assert handover.token is not None
        assert handover.token.value.bare() == "token-2"

    run(vendor, script)


def test_a_first_session_that_cannot_be_opened() -> None:
    """Its error is raised, and it has not started."""
    vendor = Vendor(600.0)
    vendor.errors = [Unauthorized("401")]

    async def script(hold: Hold, handover: Handover) -> None:
        assert isinstance(await hold.ended(), Unauthorized)
        assert not hold.settled.is_set()
        assert handover.token is await vendor.keeper.token()

    run(vendor, script)


def test_a_successor_that_never_starts_is_given_up() -> None:
    """After a minute; the old one serves on."""
    vendor = Vendor(3_600.0, margin_s=600)

    async def script(hold: Hold, handover: Handover) -> None:
        await hold.wait_settled()
        vendor.settle_s = 1e6
        await anyio.sleep(3_000 + 30)
        assert sorted(vendor.open) == ["token-1", "token-2"]
        vendor.settle_s = SETTLE_S
        await anyio.sleep(OPEN_S - 20)
        assert handover.handovers == 1
        assert not hold.over.is_set()

    assert OPEN_S == 60.0
    assert whole(vendor, run(vendor, script))


def test_leaving_ends_both_sessions() -> None:
    """In the middle of a handover."""
    vendor = Vendor(600.0)

    async def script(hold: Hold, handover: Handover) -> None:
        await hold.wait_settled()
        vendor.settle_s = 30
        await anyio.sleep(550)
        assert len(vendor.open) == 2
        assert await hold.leave() < 2
        assert vendor.open == {}

    run(vendor, script)


def test_with_the_real_session_shell() -> None:
    """Scenario 19: GraphQL sessions in memory, whose server cuts each when its token ends."""
    vendor = Vendor(5.0)
    listening: dict[str, Any] = {}
    taken = Taken()

    async def script(peer: Peer) -> None:
        speaker = Speaker(peer, TRANSPORT)
        await speaker.accept()
        name = speaker.init["token"]
        id_ = await speaker.subscribed()
        listening[name] = (speaker, id_)
        with anyio.move_on_after(vendor.ends[name] - anyio.current_time()):
            try:
                await speaker.until_gone()
            finally:
                listening.pop(name, None)
            return
        await peer.close(4403)

    async def main() -> None:
        numbers = count(1)
        async with memory_sockets(script) as sockets:

            def feed(token: Token) -> GraphqlFeed:
                session = GraphqlSession(
                    "wss://api.example.com/graphql",
                    TRANSPORT,
                    (Operation("all", "subscription { all }"),),
                    init={"token": token.value},
                    settle_s=1.0,
                )
                return GraphqlFeed(session, sockets, numbers)

            async with holding(Handover(feed, vendor.keeper), taken) as hold:
                await hold.wait_settled()
                for n in range(1_000):
                    for speaker, id_ in list(listening.values()):
                        await speaker.number(id_, n)
                    await anyio.sleep(0.05)
                assert not hold.over.is_set(), hold.error
                assert sockets.open <= 2
                assert len(sockets.peers) > 15

    on_virtual_clock(main)
    assert set(taken.numbers()) == set(range(1_000))
    assert taken.reasons == []
