"""Each fault looks on the wire as it is named, strikes as often as planned, and is counted."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest

from bridge.sandbox.faults import ANSWER, KINDS, Fault, Faults
from tests.sandbox.client import GET_WORK_HISTORY, Client, ids
from tests.sandbox.conftest import HandClock, Play
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio


async def raw(client: Client, **more: Any) -> tuple[int, dict[str, str], bytes]:
    """One history request: status, headers, body."""
    async with client.post(GET_WORK_HISTORY, client.variables(**more)) as response:
        return response.status, {k.lower(): v for k, v in response.headers.items()}, await response.read()


@pytest.mark.parametrize(
    ("plan", "status", "headers", "body"),
    [
        ({"kind": "http_500"}, 500, {}, b"Internal Server Error"),
        ({"kind": "http_502"}, 502, {"content-type": "text/html"}, b"502 Bad Gateway"),
        ({"kind": "http_503"}, 503, {}, b"Service Unavailable"),
        ({"kind": "http_503", "seconds": 7}, 503, {"retry-after": "7"}, b""),
        ({"kind": "http_429", "seconds": 3}, 429, {"retry-after": "3"}, b"Too Many"),
        ({"kind": "html"}, 200, {"content-type": "text/html"}, b"<!doctype html>"),
        ({"kind": "redirect", "url": "http://127.0.0.2:9/x"}, 307, {"location": "http://127.0.0.2:9/x"}, b""),
        ({"kind": "graphql_errors"}, 200, {"content-type": "application/json"}, b'{"errors":[{"message"'),
        ({"kind": "hang", "seconds": 0.01}, 504, {}, b"Gateway Timeout"),
    ],
)
async def test_answers_of_the_wrong_kind(
    play: Play, plan: dict[str, Any], status: int, headers: dict[str, str], body: bytes
) -> None:
    """A fault of the answer strikes once, and the next request is answered."""
    async with play() as client:
        client.sandbox.faults.plan(**plan)
        found_status, found_headers, found_body = await raw(client)
        assert found_status == status
        assert headers.items() <= found_headers.items()
        assert body in found_body
        assert "nodes" in await client.page()
        assert client.sandbox.counters()["faults"] == {plan["kind"]: 1}


async def test_truncated_json_is_a_complete_message(play: Play) -> None:
    """The body ends in the middle of the JSON, with a length that agrees."""
    async with play() as client:
        client.sandbox.faults.plan("truncated")
        status, headers, body = await raw(client)
        assert (status, int(headers["content-length"])) == (200, len(body))
        with pytest.raises(json.JSONDecodeError):
            json.loads(body)


async def test_a_cut_connection_breaks_off_in_the_body(play: Play) -> None:
    """The declared length never arrives."""
    async with play() as client:
        client.sandbox.faults.plan("cut")
        with pytest.raises(aiohttp.ClientPayloadError):
            await raw(client)
        assert "nodes" in await client.page()


async def test_a_flood_has_the_size_asked_for_and_no_declared_length(play: Play) -> None:
    """100 MB by default; a reader that leaves early ends it."""
    async with play() as client:
        client.sandbox.faults.plan("huge", size=3_000_000)
        _, headers, body = await raw(client)
        assert "content-length" not in headers
        assert 3_000_000 <= len(body) < 3_100_000
        client.sandbox.faults.plan("huge")
        async with client.post(GET_WORK_HISTORY, client.variables()) as response:
            read = 0
            async for piece in response.content.iter_chunked(65536):
                read += len(piece)
                if read > 5_000_000:
                    break
        assert "nodes" in await client.page()


async def test_a_trickle_arrives_whole_and_late(play: Play) -> None:
    """The answer is right, and takes as long as planned."""
    async with play() as client:
        client.sandbox.faults.plan("trickle", seconds=0.2)
        began = anyio.current_time()
        _, _, body = await raw(client)
        assert anyio.current_time() - began >= 0.18
        assert "nodes" in json.loads(body)["data"]["AcQuerySessionsHistory"]


async def test_a_failure_can_have_any_id_and_strike_login_only(play: Play) -> None:
    """`failure` answers with the id and text planned, on the requests planned."""
    async with play() as client:
        client.sandbox.faults.plan("failure", on="login", error="BackendFailure", comment="the cellar is wet")
        assert "nodes" in await client.page()
        result = await client.login()
        assert (result["error"], result["comment_for_dev"]) == ("BackendFailure", "the cellar is wet")
        assert "token" in await client.login()


async def test_a_garbage_token_is_no_jwt_and_opens_nothing(play: Play) -> None:
    """The login seems to succeed."""
    async with play() as client:
        client.sandbox.faults.plan("garbage_token")
        assert (await client.login())["token"] == "no.such.token"
        assert (await client.page())["error"] == "AccessDenied"


async def test_revocation_makes_every_jwt_so_far_invalid(play: Play) -> None:
    """The request that meets it is refused; a new JWT is good."""
    async with play() as client:
        client.sandbox.faults.plan("revoked")
        assert (await client.page())["error"] == "AccessDenied"
        await client.login()
        assert "nodes" in await client.page()


async def test_while_loading_half_of_the_rows_are_held_back(play: Play) -> None:
    """`batchLoadingIsStillActive` is true for as many requests as planned, and the rows are not all."""
    async with play() as client:
        client.sandbox.faults.plan("loading", times=2)
        for _ in range(2):
            page = await client.page(length=100)
            assert page["batchLoadingIsStillActive"] is True
            assert page["totalCount"] == len(page["nodes"]) == 15
        assert (await client.page())["batchLoadingIsStillActive"] is False


async def walk(client: Client) -> tuple[dict[str, Any], dict[str, Any]]:
    first = await client.page()
    return first, await client.page(cursor=first["nodes"][-1]["cursor"])


def stuck(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert {node["cursor"] for node in second["nodes"]} == {first["nodes"][-1]["cursor"]}


def repeat(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert ids(second) == ids(first)
    assert second["nodes"][-1]["cursor"] != first["nodes"][-1]["cursor"]


def overlap(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert ids(second)[:2] == ids(first)[-2:]
    assert len(set(ids(second)) - set(ids(first))) == 8


def cursor_refused(_: dict[str, Any], second: dict[str, Any]) -> None:
    assert second["error"] == "InvalidValue"


@pytest.mark.parametrize("look", [stuck, repeat, overlap, cursor_refused])
async def test_pages_that_go_wrong_after_the_first(
    play: Play, look: Callable[[dict[str, Any], dict[str, Any]], None]
) -> None:
    """Faults of paging wait for a request with a cursor, and the walk can be repeated afterwards."""
    async with play() as client:
        client.sandbox.faults.plan(look.__name__)
        first, second = await walk(client)
        look(first, second)
        first, second = await walk(client)
        assert not set(ids(first)) & set(ids(second))


async def test_a_row_can_appear_twice_in_a_page(play: Play) -> None:
    """`doubled` repeats the first row."""
    async with play() as client:
        client.sandbox.faults.plan("doubled")
        found = ids(await client.page())
        assert found[0] == found[1]
        assert len(found) == 11


@pytest.mark.parametrize(
    ("shape", "looks"),
    [
        ("null_id", lambda value: value["id"] is None),
        ("wrong_types", lambda value: value["sessionCreatedAt"] == "yesterday" and value["participants"] == "none"),
        ("text_nan", lambda value: value["duration"] == "NaN"),
        ("no_object", lambda value: value == "deleted"),
    ],
)
async def test_a_row_can_be_unreadable(play: Play, shape: str, looks: Callable[[Any], bool]) -> None:
    """Exactly the row planned is spoilt, in the shape planned."""
    async with play() as client:
        client.sandbox.faults.plan("unreadable", id="session-3", shape=shape)
        values = [node["value"] for node in (await client.page())["nodes"]]
        assert looks(values[3])
        assert [value["id"] for n, value in enumerate(values) if n != 3][:4] == [
            "session-uuid-1",
            "session-1",
            "session-2",
            "session-4",
        ]


async def test_a_bare_nan_makes_the_body_no_json(play: Play) -> None:
    """`nan_literal` writes what JSON does not have."""
    async with play() as client:
        client.sandbox.faults.plan("unreadable", shape="nan_literal")
        _, _, body = await raw(client)
        assert b'"duration":NaN' in body


async def test_a_session_can_be_larger_than_a_mebibyte(play: Play) -> None:
    """The change `oversized` is a real session, and in the ledger."""
    async with play() as client:
        [change] = client.sandbox.make_change(kind="oversized")
        assert change.record is not None
        assert len(change.record["name"].encode()) > 1024 * 1024
        company = client.sandbox.companies.index(change.scope)
        await client.login(user=3)
        frame = {"startDate": change.record["sessionCreatedAt"]}
        page = await client.page(company=company, timeFrame=frame)
        assert page["nodes"][0]["value"]["name"] == change.record["name"]


async def test_what_a_fault_spoils_does_not_count_as_served(play: Play) -> None:
    """Only an answer that left in full and unspoilt makes a version served."""
    plans: list[dict[str, Any]] = [
        {"kind": "truncated"},
        {"kind": "cut"},
        {"kind": "http_500"},
        {"kind": "html"},
        {"kind": "graphql_errors"},
        {"kind": "failure"},
        {"kind": "unreadable", "rows": 10},
        {"kind": "unreadable", "shape": "nan_literal"},
    ]
    async with play() as client:
        for plan in plans:
            client.sandbox.faults.plan(**plan)
            try:
                await raw(client)
            except aiohttp.ClientPayloadError:
                assert plan["kind"] == "cut"
            assert not any(change.served_ms for change in client.sandbox.ledger.changes), plan
        await raw(client)
        assert sum(change.served_ms is not None for change in client.sandbox.ledger.changes) == 10


async def test_a_client_that_leaves_is_not_served(play: Play) -> None:
    """When the connection ends while the body trickles, nothing of it counts."""
    async with play() as client:
        client.sandbox.faults.plan("trickle", seconds=2)
        async with client.post(GET_WORK_HISTORY, client.variables()) as response:
            assert await response.content.readany()
            response.close()
        await wait_until(lambda: client.sandbox.counters().get("unfinished"))
        assert not any(change.served_ms for change in client.sandbox.ledger.changes)


async def test_a_client_that_leaves_a_long_answer_is_not_served(play: Play) -> None:
    """When the connection ends before the network has taken the whole body, nothing of it counts."""
    async with play() as client:
        changes = client.sandbox.make_change(30, kind="oversized")
        frame = {"startDate": changes[0].at_ms}
        company = client.sandbox.companies.index(changes[0].scope)
        await client.login(user=3)
        async with client.post(GET_WORK_HISTORY, client.variables(company=company, timeFrame=frame)) as response:
            assert await response.content.readany()
            response.close()
        await wait_until(lambda: client.sandbox.counters().get("unfinished"))
        assert not any(change.served_ms for change in client.sandbox.ledger.changes)


async def test_rate_limits_and_faults_are_told_apart_in_the_counters(play: Play, clock: HandClock) -> None:
    """Every request is counted, and so is what became of it."""
    async with play(rate_limit=3) as client:
        client.sandbox.faults.plan("http_500")
        await raw(client)
        for _ in range(3):
            await client.page()
        clock.advance(1)
        assert client.sandbox.counters() == {
            "requests": 5,
            "login_requests": 1,
            "logins": 1,
            "history_requests": 3,
            "rate_limited": 1,
            "failed_TryAgainLater": 1,
            "pages": 2,
            "rows": 20,
            "changes": 71,
            "faults": {"http_500": 1},
        }


def test_faults_are_drawn_from_the_seed() -> None:
    """The same seed and the same requests meet the same faults; a probability is met roughly."""

    def drawn(seed: int) -> list[str]:
        faults = Faults(random.Random(seed))
        faults.plan("http_500", times=None, probability=0.2)
        faults.plan("html", times=None, probability=0.5, on="login")
        requests = ["login", "page", "next page", "other"] * 100
        return [fault.kind if fault else "" for fault in (faults.draw(ANSWER, request) for request in requests)]

    assert drawn(1) == drawn(1) != drawn(2)
    assert 50 < drawn(1).count("http_500") < 110
    assert "html" not in drawn(1)[1::4]


def test_every_kind_of_fault_is_tried() -> None:
    """No fault is offered that nobody has seen."""
    text = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    assert [kind for kind in KINDS if text.count(kind) == 0] == []


@pytest.mark.parametrize(
    "data", [{"kind": "earthquake"}, {"kind": "html", "colour": "red"}, {}, {"kind": "html", "on": "x"}]
)
def test_an_unknown_fault_is_refused(data: dict[str, Any]) -> None:
    """A plan with a slip of the pen is an error, not a fault that never strikes."""
    with pytest.raises(ValueError, match="fault"):
        Fault.from_json(data)
