"""`bridged sandbox pcvisit` in a process of its own, controlled over HTTP."""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
import pytest

from bridge.cli import sandbox
from bridge.sandbox.ledger import Change
from tests.sandbox.client import GET_JWT, GET_WORK_HISTORY
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

# The command's module is driven by itself, so that this file tests it alone.
ENTRY = """
import argparse, sys
from bridge.cli import sandbox
parser = argparse.ArgumentParser()
parser.add_argument("--json", action="store_true")
sandbox.configure(parser)
sys.exit(sandbox.run(parser.parse_args()))
"""


@contextmanager
def process(*arguments: str, vendor: str = "pcvisit") -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    command = [sys.executable, "-c", ENTRY, vendor, "--json", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            yield child, json.loads(child.stdout.readline())
        finally:
            child.terminate()
            child.wait(30)


async def test_a_sandbox_in_another_process_is_told_what_to_do_over_http() -> None:
    """Ledger, state, counters, faults, changes and pace are all within reach; SIGTERM ends it with 0."""
    with process("--rate", "0", "--set", "error_prefix=true", "--seed", "4") as (child, facts):
        control = facts["control"]
        async with aiohttp.ClientSession() as http:

            async def call(method: str, what: str, body: Any = None, status: int = 200) -> Any:
                async with http.request(method, control + what, json=body) as response:
                    assert response.status == status
                    return await response.json()

            async def ask(query: str, variables: dict[str, Any], headers: dict[str, str]) -> Any:
                body = {"query": query, "variables": variables}
                async with http.post(facts["url"], json=body, headers=headers) as response:
                    return (response.status, next(iter((await response.json(content_type=None))["data"].values())))

            made = (await call("POST", "change", {"n": 3, "kind": "new"}))["changes"]
            assert [change["kind"] for change in made] == ["new"] * 3
            ledger = await call("GET", f"ledger?since={made[0]['seq'] - 1}")
            assert ledger == {"changes": made, "last": made[-1]["seq"]}
            assert (await call("GET", "state"))[made[0]["scope"]][made[0]["id"]] == made[0]["record"]

            integrator = facts["integrator_tokens"][0]
            login = {"userApiToken": facts["users"][-1]["token"], "integratorApiToken": integrator}
            _, result = await ask(GET_JWT, login, {"x-api-key": integrator})
            bearer = {"Authorization": f"Bearer {result['token']}"}
            pagination = {"lengthStartingFromOffset": 5}
            wanted = {
                "company": made[0]["scope"],
                "timeFrame": {"startDate": made[0]["record"]["sessionCreatedAt"]},
                "pagination": pagination,
            }
            await call("POST", "faults", {"kind": "failure", "error": "DoesNotExist", "times": 1})
            _, refused = await ask(GET_WORK_HISTORY, wanted, bearer)
            assert refused["error"] == "ErrorIDs.DoesNotExist"
            _, page = await ask(GET_WORK_HISTORY, wanted, bearer)
            assert made[0]["id"] in [node["value"]["id"] for node in page["nodes"]]

            entries = (await call("GET", "ledger"))["changes"]
            assert Change.from_json(entries[made[0]["seq"] - 1]).served_ms is not None
            counters = await call("GET", "counters")
            assert (counters["requests"], counters["faults"]) == (3, {"failure": 1})
            await call("POST", "faults", {"kind": "html", "times": None})
            assert (await call("GET", "faults"))["planned"][0]["kind"] == "html"
            assert await call("DELETE", "faults") == {"planned": []}

            assert "earthquake" in (await call("POST", "faults", {"kind": "earthquake"}, 400))["problem"]
            assert "problem" in await call("POST", "change", {"n": -1}, 400)
            assert "problem" in await call("POST", "rate", {}, 400)

            await call("POST", "rate", {"changes_per_s": 100})

            async def moved() -> bool:
                return bool((await call("GET", f"ledger?since={made[-1]['seq']}"))["changes"])

            await wait_until(moved, what="a change that happens by itself")
        child.send_signal(signal.SIGTERM)
        assert child.wait(30) == 0


async def test_the_platform_is_played_by_the_same_command() -> None:
    """Its options are set, its API answers, and a pace of telemetry shows in its counters."""
    options = ("--set", "packet_share=1.0", "--set", "recording=nino", "--set", "objects=3", "--rate", "200")
    with process(*options, vendor="platform") as (child, facts):
        assert facts["environment"] == {"PLATFORM_PASSWORD": facts["password"]}
        assert f'base_url = "{facts["url"]}"' in facts["configuration"]
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {facts['issued_token']}"}) as http:

            async def get(url: str) -> Any:
                async with http.get(url) as response:
                    assert response.status == 200
                    return await response.json()

            async def measured() -> bool:
                return bool((await get(facts["control"] + "counters")).get("packets", 0) > 100)

            await wait_until(measured, what="packets that come by themselves")
            rows = await get(facts["url"] + "/api/v1/objects")
            assert (len(rows), {type(row["state"]["temperature"]) for row in rows}) == (3, {float})
        child.send_signal(signal.SIGTERM)
        assert child.wait(30) == 0


def test_it_stops_by_itself_after_seconds() -> None:
    """`--seconds` bounds the run."""
    with process("--seconds", "0.2") as (child, facts):
        assert facts["vendor"] == "pcvisit"
        assert child.wait(30) == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rate_limt=5", "did you mean rate_limit?"),
        ("rate_limit=many", "a number"),
        ("deletes=1", "true or false"),
        ("rate_period=year", "second, minute, hour"),
        ("nonsense", "OPTION=VALUE"),
        ("clock=1", "OPTION=VALUE"),
    ],
)
def test_a_wrong_option_is_explained(text: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 64 and a sentence that names what was expected."""
    parser = argparse.ArgumentParser()
    sandbox.configure(parser)
    assert sandbox.run(parser.parse_args(["pcvisit", "--set", text])) == 64
    said = capsys.readouterr().err
    assert says in said
    assert "Traceback" not in said
