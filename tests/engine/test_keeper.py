"""One valid token, renewed in time and once for all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from bridge.adapter import Login, Malformed, Refused, Request, Response, Retry, Secret, Throttled, Token, Unauthorized
from bridge.engine.keeper import STEPS, TRY_AGAIN_S, TokenKeeper
from tests.support.engine import on_virtual_clock
from tests.support.sim_vendor import SimAdapter, SimSettings, wall

HOUR_MS = 3_600_000


class Vendor:
    """Issues tokens that live for `life_s` by a clock that is `ahead_ms` of ours; `error` instead, if set."""

    def __init__(self, life_s: float | None = 600.0, *, ahead_ms: int = 0, issued: bool = True) -> None:
        self.life_s = life_s
        self.ahead_ms = ahead_ms
        self.issued = issued
        self.error: BaseException | None = None
        self.takes_s = 0.0
        self.logins = 0
        self.ends: dict[str, float] = {}
        self.learned: list[str] = []

    def keeper(self, margin_s: float | None = None) -> TokenKeeper:
        return TokenKeeper(Adapter(self, margin_s), self.send, wall, lambda secret: self.learned.append(secret.bare()))

    async def send(self, request: Request) -> Response:
        self.logins += 1
        await anyio.sleep(self.takes_s)
        if isinstance(self.error, Retry):
            raise self.error
        return Response(200, {}, b"")

    def token(self) -> Token:
        name = f"token-{self.logins}"
        if self.life_s is None:
            return Token(Secret(name))
        now = wall() + self.ahead_ms
        self.ends[name] = anyio.current_time() + self.life_s
        return Token(Secret(name), now if self.issued else None, now + round(self.life_s * 1000))

    def lapsed(self, token: Token) -> bool:
        return anyio.current_time() >= self.ends[token.value.bare()]


class Adapter(SimAdapter):
    def __init__(self, vendor: Vendor, margin_s: float | None) -> None:
        super().__init__(SimSettings(name="acme", adapter="sim"))
        self._vendor = vendor
        self._margin_s = margin_s

    def login(self) -> Login:
        yield Request("POST", "login")
        if self._vendor.error is not None:
            raise self._vendor.error
        return self._vendor.token()

    def token_margin_s(self, token: Token) -> float:
        return super().token_margin_s(token) if self._margin_s is None else self._margin_s


def name(token: Token) -> str:
    return token.value.bare()


def virtual(main: Callable[[], Awaitable[None]]) -> None:
    on_virtual_clock(main)


@pytest.mark.parametrize(
    ("life_s", "margin_s", "serves_s"),
    [
        (3_600, 60, 3_540),
        (600, None, 540),  # a minute at least
        (36_000, None, 32_400),  # a tenth
        (60, 60, 30),  # a margin never eats more than half
        (10, 1e9, 5),
        (600, 0, 600),
        (600, -100, 600),
    ],
)
def test_margin(life_s: float, margin_s: float | None, serves_s: float) -> None:
    """A token is renewed when its margin begins, and not before; the margin leaves it half of its life."""

    async def main() -> None:
        vendor = Vendor(life_s)
        keeper = vendor.keeper(margin_s)
        first = await keeper.token()
        await anyio.sleep(serves_s - 0.01)
        assert await keeper.token() is first
        await anyio.sleep(0.02)
        assert await keeper.token() is not first
        assert keeper.renewals == vendor.logins == 2

    virtual(main)


@pytest.mark.parametrize("ahead_ms", [0, HOUR_MS, -HOUR_MS, 24 * HOUR_MS, -24 * HOUR_MS])
@pytest.mark.parametrize("life_s", [300, 5_400])
def test_a_wrong_clock_neither_lapses_a_token_nor_renews_it_all_the_time(ahead_ms: int, life_s: int) -> None:
    """An hour or a day off, either way: every token served is valid, and few are fetched."""

    async def main() -> None:
        vendor = Vendor(life_s, ahead_ms=ahead_ms)
        keeper = vendor.keeper()
        for _ in range(1_000):
            await anyio.sleep(10)
            assert not vendor.lapsed(await keeper.token())
        assert vendor.logins <= 10_000 / life_s * 2 + 5

    virtual(main)


def test_without_an_issue_stamp_our_own_clock_counts() -> None:
    """Nothing else is known."""

    async def main() -> None:
        vendor = Vendor(600, issued=False)
        keeper = vendor.keeper()
        await keeper.token()
        assert keeper.expires_in == 600

    virtual(main)


def test_a_token_expired_by_both_clocks_is_refused_with_advice() -> None:
    """Its expiry lies before its issue."""

    async def main() -> None:
        keeper = Vendor(-5).keeper()
        with pytest.raises(Retry, match="compare this machine's clock"):
            await keeper.token()

    virtual(main)


def test_a_token_without_expiry_is_fetched_once() -> None:
    """It serves for ever."""

    async def main() -> None:
        vendor = Vendor(None)
        keeper = vendor.keeper()
        first = await keeper.token()
        await anyio.sleep(86_400)
        assert await keeper.token() is first
        assert keeper.expires_in is None

    virtual(main)


def test_many_who_wait_are_served_by_one_login() -> None:
    """At the start, and when a token is refused while all of them use it."""

    async def main() -> None:
        vendor = Vendor()
        vendor.takes_s = 5
        keeper = vendor.keeper()
        got: list[Token] = []

        async def ask(renew: Token | None) -> None:
            got.append(await (keeper.token() if renew is None else keeper.renew(renew)))

        for renew in (None, "refused"):
            refused = got[-1] if renew else None
            async with anyio.create_task_group() as group:
                for _ in range(50):
                    group.start_soon(ask, refused)
        assert [name(token) for token in got] == ["token-1"] * 50 + ["token-2"] * 50

    virtual(main)


def test_a_refusal_of_an_older_token_renews_nothing() -> None:
    """Somebody else was faster."""

    async def main() -> None:
        vendor = Vendor()
        keeper = vendor.keeper()
        old = await keeper.token()
        new = await keeper.renew(old)
        assert await keeper.renew(old) is new
        assert vendor.logins == 2

    virtual(main)


@pytest.mark.parametrize("error", [Retry("503"), Throttled("429", after=1), Malformed("<html>")])
def test_the_old_token_serves_to_its_end_while_the_vendor_cannot_renew(error: Exception) -> None:
    """And not a moment longer."""

    async def main() -> None:
        vendor = Vendor(600)
        keeper = vendor.keeper(100)
        old = await keeper.token()
        vendor.error = error
        await anyio.sleep(550)
        assert await keeper.token() is old
        await anyio.sleep(49.9)
        assert await keeper.token() is old
        await anyio.sleep(0.2)
        with pytest.raises(Retry):
            await keeper.token()
        vendor.error = None
        assert await keeper.token() is not old

    virtual(main)


@pytest.mark.parametrize(("after", "logins"), [(None, 50 / TRY_AGAIN_S), (25.0, 2)])
def test_a_failing_renewal_is_not_tried_with_every_request(after: float | None, logins: float) -> None:
    """While the old token serves there is time, and the vendor may have named one."""

    async def main() -> None:
        vendor = Vendor(600)
        keeper = vendor.keeper(100)
        await keeper.token()
        vendor.error, vendor.logins = Retry("503", after=after), 0
        await anyio.sleep(500)
        for _ in range(500):
            await keeper.token()
            await anyio.sleep(0.1)
        assert vendor.logins <= logins + 1

    virtual(main)


def test_a_token_that_lapsed_during_a_slow_renewal_is_not_used() -> None:
    """The vendor hangs past the token's end, and then fails."""

    async def main() -> None:
        vendor = Vendor(600)
        keeper = vendor.keeper(10)
        await keeper.token()
        vendor.error, vendor.takes_s = Retry("timed out"), 30
        await anyio.sleep(595)
        with pytest.raises(Retry):
            await keeper.token()

    virtual(main)


def test_a_worthless_new_token_does_not_replace_one_that_serves() -> None:
    """The vendor renews with a token that has expired already: the old one still serves."""

    async def main() -> None:
        vendor = Vendor(600)
        keeper = vendor.keeper(100)
        old = await keeper.token()
        vendor.life_s = -5
        await anyio.sleep(550)
        assert await keeper.token() is old
        assert await keeper.token() is old

    virtual(main)


def test_credentials_that_are_not_accepted_are_refused() -> None:
    """401 to a login is nothing that a new login could mend."""

    async def main() -> None:
        vendor = Vendor()
        vendor.error = Unauthorized("401")
        with pytest.raises(Refused, match="credentials"):
            await vendor.keeper().token()

    virtual(main)


def test_a_login_that_cannot_be_read_is_tried_again() -> None:
    """Garbage is the vendor's trouble, and no bug of ours."""

    async def main() -> None:
        vendor = Vendor()
        keeper = vendor.keeper()
        vendor.error = Malformed("not JSON")
        with pytest.raises(Retry, match="login"):
            await keeper.token()
        vendor.error = None
        await keeper.token()

    virtual(main)


def test_a_login_without_an_end_is_given_up() -> None:
    """It sends so many requests and no more."""

    class Endless(SimAdapter):
        def login(self) -> Login:
            while True:
                yield Request("POST", "login")

    async def main() -> None:
        vendor = Vendor()
        adapter = Endless(SimSettings(name="acme", adapter="sim"))
        keeper = TokenKeeper(adapter, vendor.send, wall, lambda _: None)
        with pytest.raises(Retry, match=str(STEPS)):
            await keeper.token()
        assert vendor.logins == STEPS

    virtual(main)


def test_a_key_that_needs_no_login_is_a_token() -> None:
    """A flow may return without a request."""

    class Key(SimAdapter):
        def login(self) -> Any:
            return Token(Secret("key"))
            yield

    async def main() -> None:
        vendor = Vendor()
        keeper = TokenKeeper(Key(SimSettings(name="a", adapter="sim")), vendor.send, wall, lambda _: None)
        assert name(await keeper.token()) == "key"
        assert vendor.logins == 0

    virtual(main)


def test_a_cancelled_login_leaves_the_next_one_free() -> None:
    """No lock stays behind, and the refused token does not come back."""

    async def main() -> None:
        vendor = Vendor()
        keeper = vendor.keeper()
        old = await keeper.token()
        vendor.takes_s = 60
        with anyio.move_on_after(1):
            await keeper.renew(old)
        vendor.takes_s = 0
        assert await keeper.token() is not old

    virtual(main)


def test_every_token_is_made_known_before_it_is_used() -> None:
    """So that it can be masked."""

    async def main() -> None:
        vendor = Vendor()
        keeper = vendor.keeper()
        first = await keeper.token()
        second = await keeper.renew(first)
        assert vendor.learned == [name(first), name(second)]

    virtual(main)


def test_a_login_may_tell_how_long_its_token_lasts() -> None:
    """Then neither its times nor our clock are asked: it lives for so long from when the login began."""

    class Lasting(Vendor):
        def token(self) -> Token:
            self.ends[name := f"token-{self.logins}"] = anyio.current_time() + 600
            return Token(Secret(name), 0, 1, lasts_s=600)

    async def main() -> None:
        vendor = Lasting(ahead_ms=-HOUR_MS)
        vendor.takes_s = 5.0
        keeper = vendor.keeper()
        await keeper.token()
        assert keeper.expires_in == pytest.approx(595)
        await anyio.sleep(536)
        await keeper.token()
        assert vendor.logins == 2  # 60 s before its end, as for any token so short
        assert Adapter(vendor, None).token_margin_s(Token(Secret("x"), lasts_s=7_200)) == 720

    on_virtual_clock(main)
