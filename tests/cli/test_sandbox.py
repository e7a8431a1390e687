"""`bridged sandbox`: what it says at its start, for people and for programs, and how it ends."""

from __future__ import annotations

import argparse
import json
import os
import pty
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from bridge.cli import sandbox
from bridge.cli.main import main
from bridge.core.settings import GraphqlSettings
from bridge.edge.config.loader import load
from tests.support.command import bridged
from tests.support.inside import within
from tests.support.program import Child, PlayedVendor
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(("vendor", "source"), [("pcvisit", "support"), ("x_assist", "travel")])
async def test_its_configuration_is_ready(tmp_path: Path, vendor: str, source: str) -> None:
    """One JSON object with address, control interface and credentials, and nothing else; `configuration` and
    `environment` in it are all that bridged needs, with subscriptions."""
    done = await bridged("sandbox", vendor, "--json", "--seconds", "0.1")
    assert (done.code, done.err) == (0, "")
    (text,) = done.out.splitlines()
    facts = json.loads(text)
    assert facts["url"].startswith("http://127.0.0.1:")
    assert facts["control"].endswith("/_sandbox/")
    if vendor == "pcvisit":
        assert facts["integrator_tokens"]
        assert all(user["companies"] for user in facts["users"])
    file = tmp_path / "bridged.toml"
    file.write_text(facts["configuration"], "utf-8")
    config = load(file, facts["environment"])
    (settings,) = config.sources
    assert settings.name == source
    assert isinstance(settings, GraphqlSettings)
    assert settings.subscription[0].document.count("assumed") == 1
    assert settings.ws_url == facts["ws_url"]


async def test_the_configuration_of_a_polled_one_is_ready(tmp_path: Path) -> None:
    """Addresses of both hosts, the key, and its secret by the environment."""
    done = await bridged("sandbox", "agyletime", "--json", "--seconds", "0.1")
    facts = json.loads(done.out)
    file = tmp_path / "bridged.toml"
    file.write_text(facts["configuration"], "utf-8")
    (settings,) = load(file, facts["environment"]).sources
    assert (settings.name, settings.adapter) == ("workforce", "agyletime")
    assert facts["secret"] not in facts["configuration"]


async def test_its_configuration_is_shown_to_people(tmp_path: Path) -> None:
    """On a terminal: where it is, what to export, and the configuration itself."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "bridge.cli.main", "sandbox", "x_assist", "--seconds", "0.1"]
    with anyio.fail_after(120):
        done = await anyio.run_process(command, stdout=theirs, check=False)
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert done.returncode == 0
    assert "export X_ASSIST_CLIENT_SECRET=xas-secret-" in shown
    assert 'client_secret = { env = "X_ASSIST_CLIENT_SECRET" }' in shown
    assert "[[source.subscription]]" in shown


async def test_it_serves_where_it_is_told_to_until_it_is_told_not_to(tmp_path: Path) -> None:
    """`--port` is kept; SIGINT ends it with 0."""
    vendor = PlayedVendor(tmp_path, rate=0, seed=3)
    try:
        await vendor.begin()
        assert await vendor.ledger()
        process = vendor._child
        assert process is not None
        process.send_signal(signal.SIGINT)
        await wait_until(lambda: process.poll() is not None, what="it to stop")
        assert process.returncode == 0
        port = vendor.facts["url"].split(":")[2].partition("/")[0]
        again = Child(tmp_path, "again", ["sandbox", "pcvisit", "--port", port, "--seconds", "60"])
        try:
            again.start()
            await wait_until(lambda: again.out().endswith("\n"), what="it to serve")
            assert json.loads(again.out())["url"] == vendor.facts["url"]
            assert await again.terminate() == 0
        finally:
            again.close()
    finally:
        vendor.close()


async def test_what_it_cannot_do(tmp_path: Path) -> None:
    """An unknown vendor or option 64, a taken port 69: each a sentence."""
    done = await within("sandbox", "nobody")
    assert done.code == 64
    assert "pcvisit" in done.err
    done = await within("sandbox", "pcvisit", "--set", "rate_limt=1")
    assert done.code == 64
    assert "did you mean rate_limit?" in done.err
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = await bridged("sandbox", "pcvisit", "--port", str(port), "--seconds", "5")
    assert done.code == 69
    assert f"127.0.0.1:{port}" in done.err
    assert "Traceback" not in done.err


def told(vendor: str, *sets: str) -> Any:
    """The options that `--set` makes."""
    parser = argparse.ArgumentParser()
    sandbox.configure(parser)
    args = parser.parse_args([vendor, *(part for text in sets for part in ("--set", text))])
    return sandbox._options(args, sandbox._vendor(vendor)[0])


def test_a_text_is_taken_as_it_is_written() -> None:
    """Also one that looks like a number or like JSON; quotes around it may stand as before."""
    assert told("platform", "engineio=4").engineio == "4"
    assert told("platform", 'engineio="4"').engineio == "4"
    assert told("platform", "engineio=3 4").engineio == "3 4"
    assert told("platform", "forbidden=true").forbidden == "true"
    assert told("platform", "forbidden=[1]").forbidden == "[1]"
    assert told("platform", "forbidden=null").forbidden == "null"
    assert told("platform", "objects=7", "alone=true", "token_s=null").objects == 7
    for wrong in ("objects=seven", "objects=true", "alone=1"):
        with pytest.raises(sandbox.BadOption, match="expected"):
            told("platform", wrong)


@pytest.mark.parametrize(
    ("vendor", "options"),
    [
        ("platform", {"engineio": "3 4", "journal_lag_s": 0.0, "alone": False, "refuse_status": None}),
        ("pcvisit", {"jwt_lifetime_s": 600.0, "rate_period": "minute"}),
        ("x_assist", {"lag_s": 0.0, "id_generation": 0}),
        ("prosonata", {"quota": 50, "block_s": 900.0, "empty": "204", "flips": 0.3, "hides": True}),
        ("agyletime", {"token_s": 900.0, "token_says": "expiresIn", "etag": False, "requests_per_30s": None}),
    ],
)
async def test_the_options_are_listed(vendor: str, options: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """`--set help` names each with its default, wherever it is declared, and plays nothing."""
    done = await within("sandbox", vendor, "--set", "help", "--json")
    assert (done.code, done.err) == (0, "")
    found = done.json["options"]
    assert {name: found[name] for name in options} == options
    assert not {"clock", "tls"} & set(found)
    assert main(["sandbox", vendor, "--set", "help"]) == 0
    lines = [text.split() for text in capsys.readouterr().out.splitlines()]
    for name in found:
        assert any(words[:1] == [name] for words in lines), name


async def test_the_help_says_how_to_list_the_options() -> None:
    """And sends nobody to a file; so does the answer to an option that is none."""
    done = await within("sandbox", "--help")
    assert "--set help" in done.out
    assert ".py" not in done.out
    done = await within("sandbox", "platform", "--set", "enginio=4")
    assert done.code == 64
    assert "did you mean engineio?" in done.err
    assert "--set help" in done.err


@pytest.mark.parametrize("command", [["sandbox", "pcvisit"], ["demo"]])
async def test_without_the_extra_it_says_what_to_install(command: list[str]) -> None:
    """Exit 69 where the GraphQL server's library is not installed."""
    code = "import sys; sys.modules['ariadne'] = None; from bridge.cli.main import main; sys.exit(main(sys.argv[1:]))"
    with anyio.fail_after(90):
        done = await anyio.run_process([sys.executable, "-c", code, *command], check=False)
    assert done.returncode == 69
    assert b"install bridged[demo]" in done.stderr
    assert b"ariadne" in done.stderr
    assert b"Traceback" not in done.stderr
