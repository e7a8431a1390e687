"""`bridged check` of sources that take webhooks, and `--sample`: what a delivery would become."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bridge.cli.main import main

CONFIG = """
[[source]]
name = "shop"
adapter = "webhook"
verify = "standard"
secrets = [{ env = "SHOP_SECRET" }, { env = "SHOP_SECRET_OLD" }]
omit = ["note"]
[[source.event]]
when = { "body.type" = "order" }
entity = "order"
id = "body.id"
change = "changed"
version = "body.version"
gone = "body.gone"
fields = { state = "body.state", note = "body.note" }
[[source.event]]
when = { "headers.X-Kind" = "noise" }
drop = true
"""
MORE = """
[[source]]
name = "mesh"
adapter = "webhook"
verify = "bearer"
secrets = [{ env = "MESH_TOKEN" }]
"""
SECRET = "whsec_c2VjcmV0LW9mLXRoZS10ZXN0cy0wMDAx"


@pytest.fixture(autouse=True)
def environ(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SHOP_SECRET", "SHOP_SECRET_OLD"):
        monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv("MESH_TOKEN", "a-token-of-the-mesh")


def check(folder: Path, *arguments: str, config: str = CONFIG) -> int:
    path = folder / "bridged.toml"
    path.write_text(config)
    return main(["--config", str(path), "check", *arguments])


def tried(
    folder: Path, capsys: pytest.CaptureFixture[str], sample: Any, *arguments: str, config: str = CONFIG
) -> tuple[int, dict[str, Any]]:
    file = folder / "sample.json"
    file.write_text(sample if isinstance(sample, str) else json.dumps(sample))
    path = folder / "bridged.toml"
    path.write_text(config)
    code = main(["--config", str(path), "--json", "check", "--sample", str(file), *arguments])
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return code, answer


def test_what_a_source_takes_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where senders post, what proves them, how many tables there are, and where each secret comes from."""
    assert check(tmp_path) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "webhooks at http://127.0.0.1:8791/hooks/shop, proven by Standard Webhooks; by 2 event tables" in out
    assert "secrets[0] from env SHOP_SECRET secret secrets[1] from env SHOP_SECRET_OLD" in out
    assert "reads" not in out
    assert SECRET not in out


def test_a_sample_tells_which_event_it_would_make(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The body alone: subject, change, id, version and data, without what is never published."""
    body = {"type": "order", "id": 7, "version": 3, "state": "paid", "note": "call Tilda"}
    code, told = tried(tmp_path, capsys, body)
    assert (code, told["problem"]) == (0, None)
    assert told["events"] == [{
        "subject": "events.webhook.shop.order.updated.7", "entity": "order", "change": "created or updated",
        "id": "7", "version": "3", "at_ms": None, "after": {"state": "paid"},
    }]  # fmt: skip
    _, told = tried(tmp_path, capsys, {**body, "gone": True})
    assert (told["events"][0]["change"], told["events"][0]["after"]) == ("deleted", None)


def test_people_read_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In columns, and what a sender wrote does not steer the terminal."""
    (tmp_path / "s.json").write_text('{"type": "order", "id": "7\\u001b[2J", "version": 1, "state": "new"}')
    assert check(tmp_path, "--sample", str(tmp_path / "s.json")) == 0
    out = capsys.readouterr().out
    assert "events.webhook.shop.order.updated." in out
    assert '{"state": "new", "note": null}' not in out
    assert "\x1b" not in out


def test_a_sample_may_bring_its_headers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Names in any case; its signature is not looked at, and its secrets go nowhere."""
    code, told = tried(tmp_path, capsys, {"headers": {"X-KIND": "noise", "webhook-signature": "v1,old"}, "body": {}})
    assert (code, told["events"], told["problem"]) == (0, [], None)
    event = {"specversion": "1.0", "id": "1", "source": "/gate", "type": "Gate.Opened", "data": {"echo": SECRET}}
    sample = {"headers": {"Content-Type": "application/cloudevents+json"}, "body": event}
    code, told = tried(tmp_path, capsys, sample, "--source", "mesh", config=CONFIG + MORE)
    assert code == 0
    assert (told["events"][0]["entity"], told["events"][0]["id"]) == ("gate-opened", "/gate 1")
    named = {"headers": {"webhook-id": "msg_1"}, "body": {"a": 1}}
    code, told = tried(tmp_path, capsys, named, "--source", "mesh", config=CONFIG + MORE)
    assert told["events"][0]["subject"] == "events.webhook.mesh.delivery.occurred.msg_1"


@pytest.mark.parametrize(
    ("sample", "says"),
    [
        ({"type": "order", "id": 7}, "body.version is empty"),
        ({"type": "refund"}, "no [[source.event]] fits"),
        ('{"a": 1, "a": 2}', "one name twice"),
        ("{", "not JSON"),
        ({"headers": {"a": 1}, "body": {}}, "headers is to be an object of texts"),
        ({"headers": {"Content-Type": "text/csv"}, "body": {}}, "the content type is not JSON"),
        ({"headers": {"ce-id": "1"}, "body": {}}, "specversion is missing"),
    ],
)
def test_a_sample_that_makes_none_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], sample: Any, says: str
) -> None:
    """With exit code 65, for scripts."""
    code, told = tried(tmp_path, capsys, sample)
    assert code == 65
    assert says in told["problem"]
    assert told["events"] == []


def test_it_must_be_clear_which_source_is_meant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 64, with the names there are."""
    (tmp_path / "s.json").write_text("{}")
    assert check(tmp_path, "--sample", str(tmp_path / "s.json"), config=CONFIG + MORE) == 64
    assert "say by --source which source is meant: shop, mesh" in capsys.readouterr().err
    assert check(tmp_path, "--sample", str(tmp_path / "s.json"), "--source", "none") == 64
    assert "there are: shop" in capsys.readouterr().err
    assert check(tmp_path, "--sample", str(tmp_path / "missing.json")) == 65


def test_a_sample_needs_no_secrets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables are written where the secrets are not."""
    monkeypatch.delenv("SHOP_SECRET")
    monkeypatch.delenv("SHOP_SECRET_OLD")
    code, _ = tried(tmp_path, capsys, {"type": "order", "id": 7, "version": 1})
    assert code == 0
