"""`bridged introspect`, and subscriptions in `check`, `check --online` and `status`."""

from __future__ import annotations

import json
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import graphql
import pytest
from aiohttp import web

import bridge.sandbox
from adapters import pcvisit
from bridge.adapter import Request, Response, Subscription
from bridge.cli.introspection import Closed, vendor_schema
from bridge.core.errors import BridgeError, Malformed, Refused, Retry
from bridge.core.subscription import observed
from bridge.edge.graphql_document import VendorSchema
from bridge.engine.quota import Quotas
from bridge.engine.reader import Reader
from tests.adapters.cases import pcvisit_settings
from tests.support.answers import answer as response
from tests.support.command import Done, Setup
from tests.support.handmade import HandmadeStream, handmade_stream
from tests.support.inside import inside
from tests.support.nats_server import NatsServer, free_port, nats_server
from tests.support.program import PlayedVendor
from tests.support.web import serving

pytestmark = pytest.mark.anyio

SANDBOX = (Path(bridge.sandbox.__file__).parent / "pcvisit_subscriptions.toml").read_text("utf-8")
NAMES = ["session-changed", "participants-changed", "online-state-changed"]
LOGIN = {"data": {"SiRetrieveSignedJwt": {"token": "a.secret-jwt.here", "customerUuid": "c1"}}}
HISTORY: dict[str, Any] = {"data": {"AcQuerySessionsHistory": {"nodes": [], "totalCount": 0}}}
UNVERIFIED = "unverified: nothing of it has ever arrived"
NOWHERE = 'url = "nats://127.0.0.1:1"'


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with nats_server(tmp_path) as server:
        yield server


async def closed(setup: Setup, answer: Any, status: int, *arguments: str) -> tuple[Done, list[str]]:
    """A command at a vendor that logs in, has no sessions, and answers introspection so; and what it was asked."""
    asked: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        query = (await request.json())["query"]
        kind = next((name for name in ("SiRetrieve", "AcQuery", "__schema") if name in query), "?")
        asked.append(kind)
        body, code = {"SiRetrieve": (LOGIN, 200), "AcQuery": (HISTORY, 200)}.get(kind, (answer, status))
        return web.json_response(body, status=code)

    async with serving(handle) as port:
        setup.text = setup.text.replace("http://127.0.0.1:9/graphql", f"http://127.0.0.1:{port}/graphql")
        setup.write(SANDBOX)
        return await inside(setup, *arguments, give_up_s=1.0), asked


class Answers:
    """An HTTP port that logs in and answers introspection so."""

    def __init__(self, answer: Any, status: int) -> None:
        self.logins = 0
        self._schema = response(answer, status)

    async def send(self, request: Request, *, timeout_s: float, max_bytes: int) -> Response:
        if "__schema" in request.json["query"]:
            return self._schema
        self.logins += 1
        return response(LOGIN, headers={"date": "Mon, 01 Jan 2024 12:00:00 GMT"})


async def asking(answer: Any, status: int, logins: int) -> None:
    """`vendor_schema` at such a vendor; it must log in so often."""
    http, adapter = Answers(answer, status), pcvisit.Adapter(pcvisit_settings())
    reader = Reader(adapter, http, Quotas().of("x", adapter.limit), lambda: 1_704_110_400_000, lambda secret: None)
    try:
        await vendor_schema(adapter, reader)
    finally:
        assert http.logins == logins


# --- introspect ------------------------------------------------------------------------------------------------


async def test_the_schema_and_what_can_be_subscribed_to(vendor: PlayedVendor, tmp_path: Path) -> None:
    """The text is a schema that can be read again; the fields come with arguments and types; no secret is shown."""
    setup = Setup(tmp_path, vendor, nats=NOWHERE)
    before = await vendor.requests()
    done = await inside(setup, "introspect", "acme")
    assert (done.code, done.err) == (0, "")
    schema = graphql.build_schema(done.out)
    assert schema.query_type is not None
    assert "AcQuerySessionsHistory" in schema.query_type.fields
    lines = done.out.splitlines()
    assert "# subscription fields: 3" in lines
    assert "#   assumedSessionChanged(company: CustomerUuid!): AssumedSessionChangedResult" in lines
    assert not any(secret in done.out for secret in vendor.secrets)
    report = (await inside(setup, "introspect", "acme", "--json")).json
    assert report["source"] == "acme"
    assert "type Query" in report["sdl"]
    assert [one["name"] for one in report["subscriptions"]] == [
        "assumedOnlineStateChanged", "assumedParticipantsChanged", "assumedSessionChanged"
    ]  # fmt: skip
    assert report["subscriptions"][0]["arguments"] == {"company": "CustomerUuid!"}
    assert await vendor.requests() - before == 4  # a login and a query for each of the two


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ({"errors": [{"message": "GraphQL introspection is not allowed", "extensions": {"code": "X"}}]}, 200),
        ({"errors": [{"message": "no", "extensions": {"code": "GRAPHQL_VALIDATION_FAILED"}}]}, 400),
        ({"data": {"__schema": None}}, 200),
        ({"data": None}, 200),
        ({}, 403),
    ],
)
async def test_a_closed_schema_is_told_from_a_fault(answer: Any, status: int) -> None:
    """Whatever way the vendor says it; a token that is refused is renewed once."""
    with pytest.raises(Closed, match="introspect"):
        await asking(answer, status, logins=2 if status == 403 else 1)


@pytest.mark.parametrize(
    ("status", "answer", "expected"),
    [
        (502, {}, Retry), (404, {}, Refused), (200, {"data": {"__schema": {"types": 5}}}, Malformed),
        (503, {"errors": [{"message": "boom"}]}, Retry),
    ],
)  # fmt: skip
async def test_a_fault_is_no_closed_schema(status: int, answer: Any, expected: type[BridgeError]) -> None:
    """It may be open an hour later."""
    with pytest.raises(expected) as caught:
        await asking(answer, status, logins=1)
    assert type(caught.value) is expected


async def test_a_closed_schema_is_69_and_said_clearly(tmp_path: Path) -> None:
    """With what to do instead, and without the token."""
    answer = {"errors": [{"message": "introspection is disabled"}]}
    done, asked = await closed(Setup(tmp_path, nats=NOWHERE), answer, 200, "introspect", "acme")
    assert (done.code, done.out) == (69, "")
    assert "the vendor's schema is closed to introspection" in done.err
    assert "ask the vendor for its subscriptions" in done.err
    assert "secret-jwt" not in done.err
    assert asked == ["SiRetrieve", "__schema"]


async def test_who_cannot_be_introspected(vendor: PlayedVendor, tmp_path: Path) -> None:
    """An unknown source 64, wrong credentials 77, nobody there 69, no GraphQL 64."""
    setup = Setup(tmp_path, vendor, nats=NOWHERE)
    done = await inside(setup, "introspect", "acne")
    assert (done.code, done.out) == (64, "")
    assert "there is no source acne; did you mean acme?" in done.err
    done = await inside(setup, "introspect", "acme", environ={"UT": "pcv-user-somebody-else"})
    assert (done.code, done.out) == (77, "")
    assert "`user_token` (env UT)" in done.err
    assert "somebody-else" not in done.err
    nobody = Setup(tmp_path, nats=NOWHERE, name="n", http_url=f"http://127.0.0.1:{free_port()}/graphql")
    assert (await inside(nobody, "introspect", "acme")).code == 69
    plain = Setup(tmp_path, nats=NOWHERE, name="p")
    plain.text = plain.text.replace('"pcvisit"', '"acme"').replace("integrator_token", "token")
    for key in ("requests_per_minute", "history_fast_every_s", "user_token"):
        plain.text = "\n".join(line for line in plain.text.splitlines() if not line.startswith(key))
    plain.write()
    vendors = Path(__file__).parent.parent / "edge" / "vendors"
    done = await inside(plain, "introspect", "acme", environ={"BRIDGED_ADAPTERS": str(vendors)})
    assert done.code == 64, done
    assert "speaks no GraphQL" in done.err


async def test_the_sandboxes_subscriptions_fit_its_schema() -> None:
    """The shipped documents, against the schema beside them."""
    schema = graphql.build_schema((Path(bridge.sandbox.__file__).parent / "pcvisit.graphql").read_text("utf-8"))
    vendor = VendorSchema(graphql.introspection_from_schema(schema))
    tables = tomllib.loads(SANDBOX)["source"]["subscription"]
    assert [table["name"] for table in tables] == NAMES
    assert [problem for table in tables for problem in vendor.problems(Subscription(**table))] == []


# --- check and status ------------------------------------------------------------------------------------------


async def test_check_offline_says_what_it_does_not_know(tmp_path: Path) -> None:
    """Each subscription with what it becomes; whether it works is not known here."""
    setup = Setup(tmp_path, nats=NOWHERE)
    setup.write(SANDBOX)
    done = await inside(setup, "check")
    assert (done.code, done.err) == (0, "")
    words = " ".join(done.out.split())
    unknown = "unverified: not known here; see status"
    assert f"listens session-changed: session, the adapter's own mapping; {unknown}" in words
    assert f"listens online-state-changed: computer, mapped here; {unknown}" in words
    assert "inferred settings at their defaults, see `bridged adapters pcvisit`" in words
    assert "ws_subprotocol" not in words
    (source,) = (await inside(setup, "check", "--json")).json["sources"]
    assert [(one["name"], one["entity"], one["verified"]) for one in source["listens"]] == [
        ("session-changed", "session", None), ("participants-changed", "participants", None),
        ("online-state-changed", "computer", None),
    ]  # fmt: skip
    setup.write()
    done = await inside(setup, "check")
    assert "listens" not in done.out
    assert "ws_" not in done.out


async def test_check_online_validates_against_the_vendor(
    server: NatsServer, vendor: PlayedVendor, tmp_path: Path
) -> None:
    """What fits is said to, with the memory of the stream; what does not is 78 with line and column.

    The vendor refuses it, too, when it is subscribed to.
    """
    async with handmade_stream(server.url) as stream:
        await stream.make()
        await remember(stream)
    setup = Setup(tmp_path, vendor, nats=f'url = "{server.url}"')
    setup.write(SANDBOX)
    found = await online(setup, 0)
    assert found["acme: subscription session-changed"]["says"] == (
        "fits the vendor's schema; first event 2026-01-01T00:00:00.000Z"
    )
    assert found["acme: subscription online-state-changed"]["says"] == f"fits the vendor's schema; {UNVERIFIED}"
    setup.write(SANDBOX.replace("computerId online changedAt", "computerId online changed changedAt"))
    found = await online(setup, 78)
    assert [name for name, check in found.items() if not check["ok"]] == [
        "acme: subscription online-state-changed", "acme: live session"
    ]  # fmt: skip
    (detail,) = found["acme: subscription online-state-changed"]["details"]
    assert "line 5, column 51 of the document: Cannot query field 'changed'" in detail


async def test_a_closed_schema_is_no_failure_of_the_check(server: NatsServer, tmp_path: Path) -> None:
    """It is a sentence: only the form was checked; where there is no stream, nothing was ever observed."""
    answer = {"errors": [{"message": "introspection is disabled"}]}
    setup = Setup(tmp_path, nats=f'url = "{server.url}"')
    done, asked = await closed(setup, answer, 200, "check", "--online", "--json")
    found = {check["check"]: check for check in done.json["checks"]}
    # This vendor has no WebSocket.
    assert [name for name, check in found.items() if not check["ok"]] == ["acme: live session"]
    for name in NAMES:
        says = found[f"acme: subscription {name}"]["says"]
        assert says.startswith("only its form was checked: the vendor's schema is closed to introspection")
        assert says.endswith(UNVERIFIED)
    assert asked.count("__schema") == 1


async def test_without_nats_the_memory_is_not_known(vendor: PlayedVendor, tmp_path: Path) -> None:
    """The vendor is asked all the same."""
    setup = Setup(tmp_path, vendor, nats=f'url = "nats://127.0.0.1:{free_port()}"')
    setup.write(SANDBOX)
    found = await online(setup, 69)
    assert found["acme: subscription session-changed"]["says"] == (
        "fits the vendor's schema; unverified: not known here; see status"
    )


async def test_status_says_which_have_never_told_anything(server: NatsServer, tmp_path: Path) -> None:
    """By the memory in the stream, which is no walk: neither here nor for `resync`."""
    async with handmade_stream(server.url) as stream:
        await stream.make()
        await remember(stream)
        await stream.put("cursor.acme.sessions-fast-c1", {"completed_ms": 1})
    setup = Setup(tmp_path, nats=f'url = "{server.url}"')
    setup.write(SANDBOX)
    done = await inside(setup, "status")
    assert (done.code, done.err) == (0, "")
    words = " ".join(done.out.split())
    assert "subscription session-changed: first event " in words
    assert f"subscription participants-changed: {UNVERIFIED}" in words
    assert "walk subscription-" not in words
    (source,) = (await inside(setup, "status", "--json")).json["sources"]
    assert source["subscriptions"] == [
        {"name": "session-changed", "verified": True, "first": "2026-01-01T00:00:00.000Z", "off": None, "reason": ""},
        {"name": "participants-changed", "verified": False, "first": None, "off": None, "reason": ""},
        {"name": "online-state-changed", "verified": False, "first": None, "off": None, "reason": ""},
    ]
    assert [walk["name"] for walk in source["walks"]] == ["sessions-fast-c1"]
    assert (await inside(setup, "resync", "acme", "--json")).json["walks"] == ["sessions-fast-c1"]


async def remember(stream: HandmadeStream) -> None:
    """The stream remembers a first event of `session-changed`, as the engine writes it."""
    walk, cursor = observed("session-changed.c1", 1_767_225_600_000)
    await stream.put(f"cursor.acme.{walk}", cursor)


async def online(setup: Setup, code: int) -> dict[str, dict[str, Any]]:
    with anyio.fail_after(120):
        done = await inside(setup, "check", "--online", "--json", give_up_s=1.0)
    assert done.code == code, done
    return {check["check"]: check for check in json.loads(done.out)["checks"]}
