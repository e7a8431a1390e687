"""`bridged nats-config`: what it prints is what the server takes and the bridge accepts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bridge.cli.main import main
from tests.support.configuration import ENVIRON, SOURCE, write

NATS = '[nats]\nurl = "nats://localhost:4222"\nmanage = "verify"\n'


@pytest.fixture(autouse=True)
def environ(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)


def printed(folder: Path, nats: str, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    assert main(["nats-config", "--config", str(write(folder, nats + SOURCE)), *more]) == 0
    return capsys.readouterr().out


def test_streams_view_and_leases_come_in_the_order_to_make_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The view names the stream as its source, so the stream comes first."""
    told: dict[str, Any] = json.loads(printed(tmp_path, NATS, capsys, "--json"))
    assert [stream["name"] for stream in told["streams"]] == ["BRIDGE", "KV_bridge-state", "KV_bridge-leases"]
    listened = told["permissions"]["subscribe"]["allow"]
    assert (listened[0], listened[-2:]) == ("_INBOX.>", ["bridge.srv.*.status", "bridge.srv.*.reload"])
    assert told["permissions"]["allow_responses"] == {"max": 100, "expires": "180s"}
    assert told["asking"] == ["$SRV.INFO.bridged", "bridge.srv.*.status", "bridge.srv.*.reload"]
    assert not any(".STREAM.CREATE." in subject for subject in told["permissions"]["publish"]["allow"])
    assert "$JS.API.STREAM.CREATE.BRIDGE" in told["create"]


def test_one_stream_alone_is_a_file_for_the_nats_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--stream NAME` prints nothing but its configuration; another name is a usage error that names them all."""
    assert json.loads(printed(tmp_path, NATS, capsys, "--stream", "BRIDGE"))["allow_atomic"] is True
    assert main(["nats-config", "--config", str(tmp_path / "bridged.toml"), "--stream", "X"]) == 64
    assert "BRIDGE, KV_bridge-state, KV_bridge-leases" in capsys.readouterr().err


def test_names_domain_and_inbox_come_from_the_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything configurable is in the list: a list for other names would be useless."""
    nats = NATS + 'domain = "hub"\ninbox_prefix = "_B"\nstream = "S"\nstate_bucket = "v"\nlease_bucket = "l"\n'
    allowed = json.loads(printed(tmp_path, nats, capsys, "--json"))["permissions"]
    assert allowed["subscribe"]["allow"][0] == "_B.>"
    assert not any(subject.startswith("_INBOX") for subject in allowed["subscribe"]["allow"])
    assert "$JS.hub.API.STREAM.INFO.KV_v" in allowed["publish"]["allow"]
    assert "$JS.hub.API.$KV.l.*" in allowed["publish"]["allow"]
    assert not any("$JS.API" in subject or "BRIDGE" in subject for subject in allowed["publish"]["allow"])


def test_people_read_it_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --json there are words between the pieces."""
    text = printed(tmp_path, NATS, capsys)
    assert "nats stream add --config FILE" in text
    assert '"bridge.in.>"' in text


ALERT = """
[[alert]]
name = "ops"
notify = [{ env = "OPS_URL" }]
[[alert.webhook]]
name = "hook"
url = "https://example.org/hook"
secret = { env = "OPS_KEY" }
"""


def test_alerts_add_consumers_and_permissions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One consumer for each channel, whether or not its secret is here; without alerts nothing is said of them."""
    assert "alerts" not in json.loads(printed(tmp_path, NATS, capsys, "--json"))
    told = json.loads(printed(tmp_path, NATS + ALERT, capsys, "--json"))
    names = [consumer["name"] for consumer in told["alerts"]["consumers"]]
    assert names == ["bridged-alert-ops-env=20OPS_URL", "bridged-alert-ops-hook"]
    assert {one["filter_subject"] for one in told["alerts"]["consumers"]} == {"events.bridge.ops.alert.occurred.*"}
    assert "$JS.ACK.BRIDGE.bridged-alert-ops-hook.>" in told["alerts"]["publish"]
    assert told["alerts"]["subscribe"] == ["live.>"]
    assert told["alerts"]["create"] == [
        "$JS.API.CONSUMER.CREATE.BRIDGE.>",
        "$JS.API.CONSUMER.NAMES.BRIDGE",
        "$JS.API.CONSUMER.DELETE.BRIDGE.*",
    ]
    assert "bridged-alert-ops-hook" in printed(tmp_path, NATS + ALERT, capsys)
