"""The played quota: fixed blocks, other tools, German refusals; and what ProSonata does wrong when asked to."""

from __future__ import annotations

import json
import re
from typing import Any

import aiohttp
import pytest

from bridge.sandbox.prosonata import Options, prosonata_sandbox
from tests.sandbox.conftest import HandClock
from tests.sandbox.test_prosonata import Asker


def test_a_block_holds_so_many_calls_and_what_is_left_lapses(clock: HandClock) -> None:
    """The last call is told that nothing is left, the next is refused, and the next block begins anew."""
    asker = Asker(clock, quota=3)
    asker.ask("projects")
    meta = asker.ask("projects")[1]["meta"]
    clock.advance(meta["apiLimitReset"] + 1)
    left = [asker.ask("projects")[1]["meta"]["apiLimitRemaining"] for _ in range(3)]
    assert left == [2, 1, 0]
    status, body = asker.ask("projects")
    assert status == 429
    found = re.fullmatch(
        r"API-Limit überschritten\. Der Zugriff ist in (\d+) Sekunden wieder möglich\.", body["meta"]["message"]
    )
    assert found
    assert body["data"] == []
    assert "apiLimitReset" not in body["meta"]
    assert asker.sandbox.counters()["foreseeable"] == 1
    clock.advance(int(found[1]) + 1)
    assert asker.ask("projects")[0] == 200


@pytest.mark.parametrize(
    ("tells", "says", "meta"),
    [("message", True, False), ("meta", False, True), ("both", True, True), ("neither", False, False)],
)
def test_a_refusal_says_when_it_ends_where_it_is_told_to(clock: HandClock, tells: str, says: bool, meta: bool) -> None:
    """In its German message, in `meta`, in both or nowhere."""
    asker = Asker(clock, quota=1, tells=tells)
    asker.ask("projects")
    body = asker.ask("projects")[1]
    assert (("Sekunden" in body["meta"]["message"]), ("apiLimitReset" in body["meta"])) == (says, meta)


def test_other_tools_take_their_share_and_are_turned_away(clock: HandClock) -> None:
    """Their calls count; whoever takes everything leaves them nothing, and that is counted."""
    asker = Asker(clock, quota=20, others=10)
    meta = asker.ask("projects")[1]["meta"]
    clock.advance(meta["apiLimitReset"] + 1)
    calls = 0
    while asker.ask("projects")[0] == 200:
        calls += 1
    assert 10 <= calls <= 20
    clock.advance(901)
    asker.ask("projects")
    counters = asker.sandbox.counters()
    assert counters["others_refused"] >= 1
    assert counters["foreseeable"] == 1


async def _get(http: aiohttp.ClientSession, url: str, key: str, app: str) -> tuple[int, bytes, str]:
    async with http.get(url, headers={"X-API-Key": key, "X-APP-ID": app}) as response:
        return response.status, await response.read(), response.content_type


FAULTS: list[tuple[dict[str, Any], int, str]] = [
    ({"kind": "http_500"}, 500, ""),
    ({"kind": "http_502"}, 502, "<html"),
    ({"kind": "http_503"}, 503, ""),
    ({"kind": "http_401"}, 401, '"data":[]'),
    ({"kind": "http_403"}, 403, '"data":[]'),
    ({"kind": "http_429", "seconds": 7}, 429, "in 7 Sekunden"),
    ({"kind": "html"}, 200, "<html"),
    ({"kind": "total_lies", "rows": -3}, 200, '"totalCount":5'),
    ({"kind": "data_object"}, 200, '"data":{"0":'),
    ({"kind": "doubled"}, 200, ""),
    ({"kind": "unreadable", "shape": "no_object"}, 200, '"deleted"'),
    ({"kind": "trickle", "seconds": 0.1}, 200, ""),
]


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_faults_look_as_they_should_over_http(anyio_backend: str) -> None:
    """Each kind once, then the same as ever; 204 has no body; what is truncated is no JSON; no socket is taken."""
    async with prosonata_sandbox(Options(quota=200, flips=0.0)) as sandbox, aiohttp.ClientSession() as http:
        url = f"{sandbox.url}/api/v1/projects"
        for fault, status, part in FAULTS:
            sandbox.faults.plan(**fault)
            answer = await _get(http, url, sandbox.key, sandbox.app_id)
            assert (answer[0], part in answer[1].decode()) == (status, True), fault
        sandbox.faults.plan("truncated")
        with pytest.raises(json.JSONDecodeError):
            json.loads((await _get(http, url, sandbox.key, sandbox.app_id))[1])
        assert await _get(http, f"{url}?page=99", sandbox.key, sandbox.app_id) == (204, b"", "application/json")
        rows = json.loads((await _get(http, url, sandbox.key, sandbox.app_id))[1])["data"]
        assert [row["projectID"] for row in rows] == list(sandbox.world.rows["projects"])
        assert (await _get(http, f"{sandbox.url}/elsewhere", sandbox.key, sandbox.app_id))[2] == "text/html"
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await http.ws_connect(sandbox.url)
