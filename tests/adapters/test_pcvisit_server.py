"""The pcvisit adapter and the HTTP edge against the sandbox: a real GraphQL server with the vendor's schema."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from adapters import pcvisit
from bridge.adapter import Ask, Page, Record, Secret, Token, Window
from bridge.core.errors import BridgeError, CursorExpired, Malformed, Refused, Retry, Throttled, Unauthorized
from bridge.edge.http import HttpClient
from bridge.sandbox.oracle import plain
from bridge.sandbox.pcvisit import Options, PcvisitSandbox, pcvisit_sandbox
from bridge.sandbox.pcvisit_view import as_issued, as_seen
from tests.adapters.cases import pcvisit_settings

pytestmark = pytest.mark.anyio


@dataclass
class Bench:
    """A source at a sandbox, driven by hand: no engine, no retries."""

    sandbox: PcvisitSandbox
    adapter: pcvisit.Adapter
    http: HttpClient

    async def login(self) -> Token:
        flow = self.adapter.login()
        request = next(flow)
        try:
            flow.send(await self.http.send(request, timeout_s=10, max_bytes=2**20))
        except StopIteration as end:
            token: Token = end.value
            return token
        raise AssertionError("one request is enough")

    async def page(self, token: Token, ask: Ask) -> Page:
        request = self.adapter.request(ask, token)
        return self.adapter.page(ask, await self.http.send(request, timeout_s=10, max_bytes=2**20))

    async def walk(self, token: Token, ask: Ask) -> list[Record]:
        records: list[Record] = []
        for _ in range(50):
            page = await self.page(token, ask)
            records += [self.adapter.record(ask, row) for row in page.rows]
            if page.next is None:
                return records
            ask = Ask(ask.walk, ask.window, page.next)
        raise AssertionError("a pass that does not end")

    def ask(self, token: Token) -> Ask:
        now = time.time_ns() // 1_000_000
        return Ask(self.adapter.walks(token)[-1], Window(0, now + 1000))


@asynccontextmanager
async def bench(options: Options | None = None, **changes: Any) -> AsyncIterator[Bench]:
    async with pcvisit_sandbox(options or Options()) as sandbox, HttpClient() as http:
        given = {
            "http_url": sandbox.url,
            "integrator_token": Secret(sandbox.integrator_tokens[0], "env INTEGRATOR"),
            "user_token": Secret(sandbox.users[0].token, "env USER_TOKEN"),
        }
        yield Bench(sandbox, pcvisit.Adapter(pcvisit_settings(**given | changes)), http)


@pytest.mark.parametrize("size", [2, 50])
@pytest.mark.parametrize(
    "behaviour",
    [{}, {"float_milliseconds": True, "newest_first": True, "error_prefix": True}, {"max_page": 3}],
    ids=["plain", "other spellings", "short pages"],
)
async def test_every_session_is_read_as_it_was_issued(size: int, behaviour: dict[str, Any]) -> None:
    """Whatever page size we ask for and the vendor allows, in any order and spelling of numbers: all, each right."""
    async with bench(Options(history=17, **behaviour), history_page_size=size) as at:
        token = await at.login()
        records = await at.walk(token, at.ask(token))
        issued = at.sandbox.state()[at.sandbox.companies[0]]
    assert len(records) == len(issued) >= 17
    for record in records:
        assert plain(as_seen(record.after or {})) == plain(as_issued(issued[record.id]))


async def test_the_login_tells_when_the_token_expires() -> None:
    """By its claims, or by the vendor's clock and the configured lifetime where it has none."""
    for lifetime, expected in ((90.0, 90_000), (None, 600_000)):
        async with bench(Options(jwt_lifetime_s=lifetime)) as at:
            token = await at.login()
            assert token.expires_ms is not None
            assert token.issued_ms is not None
            assert token.expires_ms - token.issued_ms == expected
            assert abs(token.issued_ms - time.time_ns() // 1_000_000) < 10_000


async def test_wrong_tokens_are_refused() -> None:
    """Either of the two; the text names the keys, never the values."""
    for key in ("integrator_token", "user_token"):
        async with bench(None, **{key: Secret("pcv-wrong-token", "env WRONG")}) as at:
            with pytest.raises(Refused, match=rf"`{key}` \(env WRONG\)") as caught:
                await at.login()
            assert "pcv-wrong" not in str(caught.value)


async def test_another_company_is_not_ours() -> None:
    """The vendor answers `AccessDenied`, as in its manual."""
    async with bench(companies=["12345678-0000-0000-0000-000000000000"]) as at:
        token = await at.login()
        with pytest.raises(Unauthorized, match="no matching allowed relationships found"):
            await at.page(token, at.ask(token))


async def test_a_revoked_token() -> None:
    """Renewing it is what happens next, and helps."""
    async with bench() as at:
        token = await at.login()
        at.sandbox.revoke_tokens()
        with pytest.raises(Unauthorized):
            await at.page(token, at.ask(token))
        token = await at.login()
        assert (await at.page(token, at.ask(token))).rows


@pytest.mark.parametrize("error", ["TryAgainLater", "TimeOut"])
@pytest.mark.parametrize("first", [True, False])
async def test_the_rate_limit_is_learned(error: str, first: bool) -> None:
    """From the text, under either id and in either order."""
    async with bench(Options(rate_limit=2, rate_error=error, limit_text_first=first, rate_period="hour")) as at:
        token = await at.login()
        await at.page(token, at.ask(token))
        with pytest.raises(Throttled) as caught:
            await at.page(token, at.ask(token))
    limit = caught.value.limit
    assert limit is not None
    assert (limit.requests, limit.seconds) == (2, 3600)
    assert caught.value.after is not None
    assert 3500 < caught.value.after <= 3600


@pytest.mark.parametrize(
    ("kind", "how", "expected"),
    [
        ("http_500", {}, Retry),
        ("http_502", {}, Retry),
        ("http_503", {"seconds": 7}, Retry),
        ("http_429", {"seconds": 7}, Throttled),
        ("html", {}, Retry),
        ("huge", {}, Retry),
        ("redirect", {"url": "https://elsewhere.example/x"}, Retry),
        ("graphql_errors", {}, Retry),
        ("failure", {"error": "InsufficientRights"}, Refused),
        ("failure", {"error": "BackendFailure"}, Retry),
        ("truncated", {}, Retry),
        ("cut", {}, Retry),
    ],
)
async def test_faults_of_the_server(kind: str, how: dict[str, Any], expected: type[BridgeError]) -> None:
    """Each ends in what happens next, logging in or reading; then all goes on as if nothing had been."""
    async with bench() as at:
        at.sandbox.faults.plan(kind, on="any", times=1, **how)
        with pytest.raises(expected):
            await at.login()
        token = await at.login()
        at.sandbox.faults.plan(kind, on="any", times=1, **how)
        with pytest.raises(BridgeError) as caught:
            await at.page(token, at.ask(token))
        assert type(caught.value) is expected
        if "seconds" in how:
            assert isinstance(caught.value, Retry)
            assert caught.value.after == 7
        assert (await at.page(token, at.ask(token))).rows


async def test_a_refused_cursor_starts_the_pass_over() -> None:
    """Under either id that the notes name."""
    for error in ("InvalidValue", "DoesNotExist"):
        async with bench(history_page_size=5) as at:
            token = await at.login()
            first = at.ask(token)
            page = await at.page(token, first)
            at.sandbox.faults.plan("cursor_refused", times=1, error=error)
            with pytest.raises(CursorExpired):
                await at.page(token, Ask(first.walk, first.window, page.next))


async def test_a_page_that_does_not_advance_is_an_error() -> None:
    """The cursors of the page are the one it was asked with."""
    async with bench(history_page_size=5) as at:
        token = await at.login()
        first = at.ask(token)
        page = await at.page(token, first)
        at.sandbox.faults.plan("stuck", times=1)
        with pytest.raises(Retry, match="the page ends at the cursor it was asked to start after"):
            await at.page(token, Ask(first.walk, first.window, page.next))


async def test_loading_and_unreadable_rows() -> None:
    """The page says that it is incomplete; rows in every unreadable shape are Malformed, the rest is read."""
    async with bench() as at:
        token = await at.login()
        at.sandbox.faults.plan("loading", times=1)
        assert not (await at.page(token, at.ask(token))).complete
        for shape in ("null_id", "wrong_types", "text_nan", "no_object"):
            at.sandbox.faults.plan("unreadable", times=1, shape=shape, rows=2)
            ask = at.ask(token)
            page = await at.page(token, ask)
            assert page.complete
            unreadable = 0
            for row in page.rows:
                try:
                    at.adapter.record(ask, row)
                except Malformed:
                    unreadable += 1
            assert unreadable == 2
