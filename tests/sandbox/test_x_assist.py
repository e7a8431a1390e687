"""The X-Assist sandbox over HTTP, by a plain client: OAuth, pages, ids, staleness, limits, spellings."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import aiohttp
import pytest

from bridge.sandbox.x_assist import Options, XAssistSandbox, x_assist_sandbox
from tests.sandbox.conftest import HandClock
from tests.sandbox.sockets import wire

pytestmark = pytest.mark.anyio
# The vendor's own sample query, with the cursor that its text explains.
PAGE = """query ($first: Int, $after: String, $direction: OrderDirection!) {
  events(first: $first, after: $after, orderBy: { field: CREATED_AT, direction: $direction }) {
    pageInfo { hasNextPage endCursor } totalCount nodes { id name createdAt } edges { cursor node { id } }
  }
}"""
KNOWN = "query ($ids: [ID!]!) { nodes(ids: $ids) { ... on Event { id name createdAt } } }"


class Client:
    """A plain HTTP client with a token."""

    def __init__(self, sandbox: XAssistSandbox, http: aiohttp.ClientSession) -> None:
        self.sandbox, self.http, self.token = sandbox, http, ""
        self.headers: Any = {}

    async def login(self, *, status: int = 200, as_json: bool = False, **changes: str) -> Any:
        form = {
            "grant_type": "client_credentials",
            "client_id": self.sandbox.client_id,
            "client_secret": self.sandbox.client_secret,
            **changes,
        }
        how: Any = {"json": form} if as_json else {"data": form}
        async with self.http.post(self.sandbox.token_url, **how) as response:
            assert response.status == status
            answer = await response.json()
        self.token = answer.get("access_token", "")
        return answer

    async def ask(self, query: str, status: int = 200, headers: Any = None, **variables: Any) -> Any:
        sent = {"Authorization": f"Bearer {self.token}", **(headers or {})}
        body = {"query": query, "variables": variables}
        async with self.http.post(self.sandbox.url, json=body, headers=sent) as response:
            assert response.status == status, await response.text()
            self.headers = response.headers
            return json.loads(await response.read())

    async def page(self, first: int = 10, after: str | None = None, direction: str = "DESC", **more: Any) -> Any:
        answer = await self.ask(PAGE, first=first, after=after, direction=direction, **more)
        return answer["data"]["events"]

    async def names(self) -> list[str]:
        return [node["name"] for node in (await self.page(100))["nodes"]]


@asynccontextmanager
async def play(**options: Any) -> AsyncIterator[Client]:
    options.setdefault("requests_per_hour", None)
    async with x_assist_sandbox(Options(**options)) as sandbox, aiohttp.ClientSession() as http:
        client = Client(sandbox, http)
        await client.login()
        yield client


async def test_a_token_is_opaque_and_says_when_it_expires(clock: HandClock) -> None:
    """43 URL-safe characters, `created_at` by the server's clock, `expires_in`; by form, by JSON; then it expires."""
    async with play(clock=clock, token_lifetime_s=100) as client:
        for as_json in (False, True):
            answer = await client.login(as_json=as_json)
            assert re.fullmatch(r"[\w-]{43}", answer["access_token"])
            assert (answer["created_at"], answer["expires_in"]) == (clock() // 1000, 100)
            assert answer["token_type"] == "Bearer"
        clock.advance(99)
        assert await client.page()
        clock.advance(2)
        await client.ask(PAGE, status=401, direction="ASC")
        assert client.sandbox.counters()["expired_tokens"] == 1


async def test_wrong_credentials_are_refused() -> None:
    """401 invalid_client, 400 unsupported_grant_type, and 401 for a token that is none or was revoked."""
    async with play() as client:
        assert (await client.login(status=401, client_secret="x"))["error"] == "invalid_client"
        assert (await client.login(status=401, client_id="x"))["error"] == "invalid_client"
        assert (await client.login(status=400, grant_type="password"))["error"] == "unsupported_grant_type"
        await client.ask(PAGE, status=401, direction="ASC")
        await client.login()
        assert await client.page()
        client.sandbox.revoke_tokens()
        await client.ask(PAGE, status=401, direction="ASC")
        assert "Bearer" in client.headers["WWW-Authenticate"]


async def test_the_token_url_is_discovered() -> None:
    """The OpenID configuration names it."""
    async with play() as client:
        async with client.http.get(client.sandbox.issuer + "/.well-known/openid-configuration") as response:
            found = await response.json()
        assert found["token_endpoint"] == client.sandbox.token_url
        assert found["issuer"] == client.sandbox.issuer


async def test_the_token_may_be_a_query_parameter() -> None:
    """`access_token`, as the page allows, over HTTP and at the upgrade."""
    async with play() as client:
        token, client.token = client.token, ""
        url = f"{client.sandbox.url}?access_token={token}"
        async with client.http.post(url, json={"query": "{ __typename }"}) as response:
            assert (await response.json())["data"]
        async with wire(f"{client.sandbox.ws_url}?access_token={token}") as link:
            await link.init({})


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
async def test_pages_lead_to_every_event_once_by_creation(direction: str) -> None:
    """Forward pagination with `first` and `after` until hasNextPage is false; edges and nodes say the same."""
    async with play(history=23) as client:
        found: list[Any] = []
        after = None
        for n in range(5):
            page = await client.page(5, after, direction)
            assert page["totalCount"] == 23
            assert [edge["node"]["id"] for edge in page["edges"]] == [node["id"] for node in page["nodes"]]
            assert page["pageInfo"]["hasNextPage"] is (n < 4)
            found += page["nodes"]
            after = page["pageInfo"]["endCursor"]
        created = [datetime.fromisoformat(node["createdAt"]) for node in found]
        assert created == sorted(created, reverse=direction == "DESC")
        assert len({node["id"] for node in found}) == 23


async def test_old_events_are_edited() -> None:
    """A change of an event leaves its creation, and so its place, as it was."""
    async with play(history=30) as client:
        before = (await client.page(100))["nodes"]
        changes = client.sandbox.make_change(10, "renamed")
        after = (await client.page(100))["nodes"]
        assert [node["id"] for node in before] == [node["id"] for node in after]
        renamed = {
            client.sandbox.canonical(n["id"]) for o, n in zip(before, after, strict=True) if o["name"] != n["name"]
        }
        assert renamed == {change.id for change in changes}


async def test_ids_are_opaque_and_may_be_encoded_anew() -> None:
    """After re-encoding answers carry new ids; old and new ones find the same events."""
    async with play(history=3) as client:
        old = [node["id"] for node in (await client.page())["nodes"]]
        client.sandbox.alter({"id_generation": 1})
        new = [node["id"] for node in (await client.page())["nodes"]]
        assert not set(old) & set(new)
        assert [client.sandbox.canonical(id_) for id_ in old] == [client.sandbox.canonical(id_) for id_ in new]
        for ids in (old, new):
            assert [node["id"] for node in (await client.ask(KNOWN, ids=ids))["data"]["nodes"]] == new
        assert (await client.ask(KNOWN, ids=["bm9uZQ", old[0]]))["data"]["nodes"][0] is None


async def test_queries_show_the_state_of_some_time_ago_by_replica(clock: HandClock) -> None:
    """With `lag_s` one replica knows a change after half of it, the other after all of it, and they take turns."""
    async with play(clock=clock, lag_s=10, replicas=2, history=2) as client:
        clock.advance(20)
        (made,) = client.sandbox.make_change(1, "new")

        async def known() -> set[bool]:
            return {(made.record or {})["name"] in await client.names() for _ in range(30)}

        assert await known() == {False}
        clock.advance(5.5)
        assert await known() == {True, False}
        clock.advance(5)
        assert await known() == {True}


async def test_subscriptions_are_strong(clock: HandClock) -> None:
    """A change is pushed at once, whatever queries show."""
    document = "subscription { assumedEventChanged { event { id name createdAt } } }"
    async with play(clock=clock, lag_s=3600) as client, wire(client.sandbox.ws_url) as link:
        await link.init({"Authorization": f"Bearer {client.token}"})
        await link.subscribe(document)
        await link.subscribe("{ __typename }", "2")
        await link.hear_until("complete")
        (made,) = client.sandbox.make_change(1, "new")
        event = (await link.event())["data"]["assumedEventChanged"]["event"]
        assert event["name"] == (made.record or {})["name"]
        assert (await client.ask(KNOWN, ids=[event["id"]]))["data"]["nodes"] == [None]


async def test_the_limit_has_a_burst_and_no_window(clock: HandClock) -> None:
    """26 at once, then 429 with Retry-After; one more every 3.6 seconds; 93.6 seconds from empty to full."""
    async with play(clock=clock, requests_per_hour=1000) as client:
        for n in range(26):
            await client.ask(PAGE, first=1, direction="ASC")
            assert client.headers["X-RateLimit-Limit"] == "26"
            assert client.headers["X-RateLimit-Remaining"] == str(25 - n)
            assert "Retry-After" not in client.headers
        assert client.headers["X-RateLimit-Reset"] == "94"
        await client.ask(PAGE, status=429, first=1, direction="ASC")
        assert client.headers["Retry-After"] == "4"
        assert client.headers["X-RateLimit-Remaining"] == "0"
        clock.advance(3.6)
        await client.ask(PAGE, first=1, direction="ASC")
        await client.ask(PAGE, status=429, first=1, direction="ASC")
        clock.advance(93.6)
        await client.ask(PAGE, first=1, direction="ASC")
        assert client.headers["X-RateLimit-Remaining"] == "25"
        assert client.sandbox.counters()["rate_limited"] == 2


async def test_a_complex_query_costs_several_requests_or_never_succeeds(clock: HandClock) -> None:
    """One for every 50 rows asked for; over the burst: 429 with an empty Retry-After, and nothing is charged."""
    async with play(clock=clock, requests_per_hour=1000) as client:
        await client.ask(PAGE, first=500, direction="ASC")
        assert client.headers["X-RateLimit-Remaining"] == "16"
        await client.ask(KNOWN, ids=["x"] * 101)
        assert client.headers["X-RateLimit-Remaining"] == "13"
        await client.ask(PAGE, status=429, first=1301, direction="ASC")
        assert client.headers["Retry-After"] == ""
        assert client.headers["X-RateLimit-Remaining"] == "13"
        assert client.sandbox.counters()["too_complex"] == 1


async def test_one_instant_is_written_with_any_offset() -> None:
    """Usually with `Z`, at times with another offset, and always the same instant."""
    async with play(history=1) as client:
        spelled = {(await client.page())["nodes"][0]["createdAt"] for _ in range(60)}
        assert len(spelled) > 2
        assert any(text.endswith("Z") for text in spelled)
        assert len({datetime.fromisoformat(text) for text in spelled}) == 1


async def test_the_language_is_the_headers_or_the_arguments() -> None:
    """Accept-Language decides, `language` overrules it; English is the original."""
    async with play(history=1) as client:
        (original,) = await client.names()
        french = await client.ask(PAGE, direction="ASC", headers={"Accept-Language": "fr-FR,fr;q=0.9"})
        assert french["data"]["events"]["nodes"][0]["name"] == f"[fr] {original}"
        query = '{ events { nodes { de: name(language: "de") en: name(language: "en") } } }'
        both = (await client.ask(query, headers={"Accept-Language": "fr"}))["data"]["events"]["nodes"][0]
        assert both == {"de": f"[de] {original}", "en": original}


async def test_partial_errors_and_bad_rows_are_not_called_served() -> None:
    """`partial`: a null node and an error beside the data; `unreadable`: a row of another shape."""
    async with play(history=5) as client:
        client.sandbox.faults.plan("partial", rows=2)
        answer = await client.ask(PAGE, direction="ASC")
        assert answer["data"]["events"]["nodes"].count(None) == 2
        assert answer["errors"][0]["path"][:2] == ["events", "nodes"]
        assert sum(change.served_ms is None for change in client.sandbox.ledger.changes) == 2
        client.sandbox.faults.plan("unreadable", shape="null_id")
        assert None in [node["id"] for node in (await client.page())["nodes"]]


@pytest.mark.parametrize("kind", ["stuck", "repeat", "overlap", "cursor_refused"])
async def test_paging_may_go_wrong(kind: str) -> None:
    """A cursor that does not advance, pages served again or early, a cursor that is refused."""
    async with play(history=20) as client:
        first = await client.page(5)
        cursor = first["pageInfo"]["endCursor"]
        client.sandbox.faults.plan(kind)
        answer = await client.ask(PAGE, first=5, after=cursor, direction="DESC")
        if kind == "cursor_refused":
            assert answer["errors"][0]["extensions"] == {"code": "INVALID_CURSOR"}
            return
        page = answer["data"]["events"]
        again = [node["id"] for node in page["nodes"] if node["id"] in {node["id"] for node in first["nodes"]}]
        assert len(again) == {"stuck": 0, "repeat": 5, "overlap": 2}[kind]
        assert (page["pageInfo"]["endCursor"] == cursor) is (kind in ("stuck", "repeat"))


@pytest.mark.parametrize(
    ("kind", "status"), [("http_503", 503), ("html", 200), ("redirect", 307), ("garbage_token", 200)]
)
async def test_the_token_endpoint_may_answer_garbage(kind: str, status: int) -> None:
    """Every fault of an answer strikes it as well, with `on` login."""
    async with play() as client:
        client.sandbox.faults.plan(kind, on="login")
        async with client.http.post(
            client.sandbox.token_url,
            data={
                "grant_type": "client_credentials",
                "client_id": client.sandbox.client_id,
                "client_secret": client.sandbox.client_secret,
            },
            allow_redirects=False,
        ) as response:
            assert response.status == status
            assert b'"access_token":"' not in await response.read()


async def test_options_are_altered_while_it_runs() -> None:
    """Known ones, if they make sense; what is fixed at the start is refused."""
    async with play() as client:
        control = client.sandbox.base_url + "/_sandbox/"
        for body, status in (({"lag_s": 5}, 200), ({"lag_s": -1}, 400), ({"seed": 1}, 400), ({"lag": 1}, 400)):
            async with client.http.post(control + "options", json=body) as response:
                assert response.status == status
        assert client.sandbox.options.lag_s == 5
        async with client.http.post(control + "restart", json={"seconds": 0}) as response:
            assert await response.json() == {"dropped": 0}
