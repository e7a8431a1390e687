"""The documents say what the program does: commands, exit codes, examples, names of the contract."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import WebhookVerificationError

from bridge.cli.exits import Exit
from bridge.cli.main import COMMANDS
from bridge.core.alerts.settings import AlertSettings, AlertWebhook, QuietHours
from bridge.core.credentials import CredentialSettings
from bridge.core.event import Draft, seal
from bridge.core.hooks import standard
from bridge.core.hooks.keys import Key as HookKey
from bridge.core.push import PushSettings
from bridge.core.record import Key
from bridge.core.secret import Secret
from bridge.core.settings import BaseSettings, GraphqlSettings, Subscription
from bridge.core.subject import event_subject, token
from bridge.edge.config import loader as config
from bridge.edge.config.convert import fields_of

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
EVENTS = (ROOT / "docs/events.md").read_text("utf-8")

TOKENS = {
    "PCVISIT_INTEGRATOR_TOKEN": "integrator-token", "PCVISIT_USER_TOKEN": "user-token",
    "X_ASSIST_CLIENT_SECRET": "client-secret",
    "PLATFORM_PASSWORD": "platform-password",
    "AGYLETIME_SECRET": "agyletime-secret",
    "SHOP_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "OPS_CHANNEL": "json://127.0.0.1", "DESK_KEY": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "PROSONATA_API_KEY": "prosonata-key", "PROSONATA_APP_ID": "prosonata-app",
}  # fmt: skip


def test_the_readme_lists_every_command() -> None:
    """The table holds the commands there are, in the order of the help."""
    assert re.findall(r"^\| `bridged ([a-z-]+)` \|", README, re.M) == list(COMMANDS)


def test_the_readme_lists_every_exit_code() -> None:
    """The table holds the codes there are."""
    assert [int(code) for code in re.findall(r"^\| ([0-9]+) \|", README, re.M)] == sorted(Exit)


def test_the_readme_s_make_targets_exist() -> None:
    """Whatever a document tells to make can be made."""
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.M)
    assert set(re.findall(r"\bmake ([a-z]+)[ `\n]", README)) - {"of"} <= set(targets)


def test_the_readme_s_configuration_is_valid(tmp_path: Path) -> None:
    """The example can be copied as it is."""
    (example,) = re.findall(r"```toml\n(.*?)```", README, re.S)
    file = tmp_path / "bridged.toml"
    file.write_text(example, "utf-8")
    loaded = config.load(file, TOKENS)
    assert [source.name for source in loaded.sources] == ["acme", "plant"]
    assert not loaded.warnings


def test_links_lead_somewhere() -> None:
    """Every relative link and every path named in the documents exists."""
    for document in (ROOT / "README.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/*.md")):
        text = document.read_text("utf-8")
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (document.parent / target).exists(), f"{document.name}: {target}"
        for target in re.findall(r"`((?:bridge|tests|docs|config)/[\w./-]+)`", text):
            assert (ROOT / target).exists() or (ROOT / "bridge" / target).exists(), target


def test_every_header_is_documented() -> None:
    """`docs/events.md` names each header an event can carry, and each of its data's fields in this order."""
    draft = Draft(
        key=Key("pcvisit", "acme", "session", "4711"),
        change="deleted",
        ce_type="de.pcvisit.session.deleted",
        via="catchup",
        observed_ms=0,
        expected=1,
        previous="",
        digest="1:00",
        after=None,
        version="1",
        dataschema="https://example.org/schema",
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    )
    event, whole = (
        seal(draft, lambda value: json.dumps(value).encode(), 100_000, structured=mode) for mode in (False, True)
    )
    documented = re.findall(r"^\| `((?:ce|Bridge|KV|Nats)-[\w…-]+)` \|", EVENTS, re.M)
    ours = [name for name in event.headers if not name.startswith("Nats-")]
    assert sorted(documented) == sorted([*ours, "Nats-Expected-…"])
    document, example = map(json.loads, re.findall(r"```json\n(.*?)```", EVENTS, re.S))
    assert list(example) == list(document["data"]) == list(json.loads(event.payload))
    assert list(document) == list(json.loads(whole.payload))
    for name in whole.headers:
        assert f"`{name}" in EVENTS or name.startswith("Nats-")


def test_documented_tokens_and_subjects() -> None:
    """The examples of subjects and tokens are what the program makes."""
    rows = re.findall(r"^\| (`[^`]*`|\(empty\)) \| `([\w=-]+)` \|$", EVENTS, re.M)
    assert len(rows) == 5
    for text, expected in rows:
        assert token("" if text == "(empty)" else text.strip("`")) == expected
    assert event_subject(Key("pcvisit", "acme", "session", "4711"), "updated") in README


def test_the_way_to_a_subscription_can_be_followed(tmp_path: Path) -> None:
    """The tables in `docs/subscriptions.md` and those left out in the example file load as they are."""
    text = (ROOT / "docs/subscriptions.md").read_text("utf-8")
    examples = [re.sub("^   ", "", block, flags=re.M) for block in re.findall(r"```toml\n(.*?)```", text, re.S)]
    example = (ROOT / "config" / "bridged.example.toml").read_text("utf-8")
    before, table, after = example.partition("# [[source.subscription]]")
    examples.append(before + re.sub("^# ?", "", table + after, flags=re.M))
    for example, count in zip(examples, (1, 2), strict=True):
        file = tmp_path / "bridged.toml"
        file.write_text(example, "utf-8")
        sources = config.load(file, TOKENS).sources
        listening = [source for source in sources if isinstance(source, GraphqlSettings)]
        assert [len(source.subscription) for source in listening] == [1] * count


def test_every_key_of_a_session_is_documented() -> None:
    """`docs/subscriptions.md` names each key of a subscription and of a live session."""
    text = (ROOT / "docs/subscriptions.md").read_text("utf-8")
    keys = [*fields_of(Subscription), *(set(fields_of(GraphqlSettings)) - set(fields_of(BaseSettings)))]
    assert [key for key in keys if key not in text] == []


def test_the_way_to_a_socketio_session_can_be_followed(tmp_path: Path) -> None:
    """The table in `docs/sessions.md` loads as it is, and each key of a login and of such a session is named there."""
    text = (ROOT / "docs/sessions.md").read_text("utf-8")
    (example,) = re.findall(r"```toml\n(.*?)```", text, re.S)
    file = tmp_path / "bridged.toml"
    file.write_text(example, "utf-8")
    assert [source.name for source in config.load(file, TOKENS).sources] == ["plant"]
    keys = {*fields_of(PushSettings), *fields_of(CredentialSettings)} - set(fields_of(BaseSettings))
    assert [key for key in sorted(keys) if f"`{key}`" not in text] == []


def test_the_way_to_an_alert_can_be_followed(tmp_path: Path) -> None:
    """The tables in `docs/alerts.md` load as they are, without a warning; every key is named there."""
    text = (ROOT / "docs/alerts.md").read_text("utf-8")
    examples = [re.sub("^   ", "", block, flags=re.M) for block in re.findall(r"```toml\n(.*?)```", text, re.S)]
    for example, names in zip(examples, (["health", "new-session"], ["new-session"]), strict=True):
        file = tmp_path / "bridged.toml"
        file.write_text('[nats]\nurl = "embedded"\n' + example, "utf-8")
        loaded = config.load(file, TOKENS)
        assert [alert.name for alert in loaded.alerts] == names
        assert ["[[source]]" in warning.message for warning in loaded.warnings] == [True]  # it has none, and no other
    keys = [key for cls in (AlertSettings, AlertWebhook, QuietHours) for key in fields_of(cls)]
    assert [key for key in keys if f"`{key}`" not in text] == []


def test_what_receivers_copy_verifies_what_we_send() -> None:
    """The Python example in `docs/alerts.md` reads a webhook of ours, and refuses one that somebody changed."""
    text = (ROOT / "docs/alerts.md").read_text("utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, re.S)
    key = TOKENS["DESK_KEY"]
    names: dict[str, Any] = {}
    exec(example.replace('os.environ["DESK_KEY"]', repr(key)), names)
    body = b'{"data": {"title": "x"}}'
    headers = standard.sign([HookKey.parse(Secret(key))], "0123abcd", time.time_ns() // 1_000_000, body)
    assert names["receive"](headers, body) == {"title": "x"}
    with pytest.raises(WebhookVerificationError):
        names["receive"](headers, body + b" ")
