"""What a source may be told about live sessions: contradictions are named by their key."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bridge.core.settings import BadSetting, GraphqlSettings, Subscription, setting

SHAPED: dict[str, Any] = {"name": "a", "document": "subscription { a { id } }", "shape": "session"}
MAPPED: dict[str, Any] = {
    "name": "a", "document": "subscription { a { id } }", "entity": "computer", "id": "id", "fields": {"on": "online"},
}  # fmt: skip


@pytest.mark.parametrize(
    "table",
    [
        SHAPED,
        MAPPED,
        {**MAPPED, "fields": {}, "gone": "id"},
        {**MAPPED, "fields": {}, "null_is_gone": True, "id": "/a.id"},
        {**MAPPED, "occurred": True, "at": "at", "version": "version", "path": "a.b"},
    ],
)
def test_what_can_be_meant(table: dict[str, Any]) -> None:
    """An own mapping of the adapter, or one of the operator's, with all that goes with it."""
    Subscription(**table)


@pytest.mark.parametrize(
    ("table", "key", "text"),
    [
        ({**SHAPED, "name": "a.b"}, ("name",), "letters, digits, - and _"),
        ({**SHAPED, "name": ""}, ("name",), "letters, digits, - and _"),
        ({**SHAPED, "shape": None}, (), "set `shape`, or `entity`"),
        ({**SHAPED, "entity": "session"}, ("entity",), "goes not with `shape`"),
        ({**SHAPED, "gone": "deleted"}, ("gone",), "goes not with `shape`"),
        ({**SHAPED, "occurred": True}, ("occurred",), "goes not with `shape`"),
        ({**SHAPED, "path": "/a"}, ("path",), "take the / away"),
        ({**SHAPED, "path": "a..b"}, ("path",), "names with dots between them"),
        ({**MAPPED, "entity": "My Thing"}, ("entity",), "lower-case name"),
        ({**MAPPED, "id": None}, (), "the key id is missing"),
        ({**MAPPED, "fields": {}}, (), "the key fields is missing"),
        ({**MAPPED, "fields": {"a.b": "c"}}, ("fields", "a.b"), "letters, digits and _"),
        ({**MAPPED, "fields": {"a": ""}}, ("fields", "a"), "names with dots between them"),
        ({**MAPPED, "occurred": True, "gone": "gone"}, ("occurred",), "never deleted"),
        ({**MAPPED, "null_is_gone": True}, ("id",), "a null record holds no id"),
    ],
)
def test_contradictions(table: dict[str, Any], key: tuple[str, ...], text: str) -> None:
    """Each is refused with the key it stands at and what to do."""
    with pytest.raises(BadSetting, match=text.replace("|", r"\|")) as caught:
        Subscription(**table)
    assert tuple(caught.value.key) == key


def source(**changes: Any) -> GraphqlSettings:
    return GraphqlSettings(**{"name": "acme", "adapter": "pcvisit", **changes})


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"subscription": [Subscription(**SHAPED), Subscription(**SHAPED)]}, ("subscription", 1, "name")),
        ({"ws_close_codes": {"44o1": "retry"}}, ("ws_close_codes", "44o1")),
        ({"ws_url": "https://pcvisit.example.com"}, ("ws_url",)),
    ],
)
def test_a_source_contradicts_itself(changes: dict[str, Any], key: tuple[str | int, ...]) -> None:
    """Two subscriptions of one name, a close code that is none, an address that is not a WebSocket's."""
    with pytest.raises(BadSetting) as caught:
        source(**changes)
    assert tuple(caught.value.key) == key


def test_every_guess_is_marked_as_one() -> None:
    """What no vendor documents is `inferred`; what matters to a live session only is `live`."""
    facts = {name: field.metadata for name, field in GraphqlSettings.__dataclass_fields__.items()}
    assert {name for name, one in facts.items() if one["inferred"]} == {
        "ws_subprotocol", "ws_reconnect_before_expiry", "ka_timeout_s", "ws_idle_timeout_s", "ws_ping_interval_s",
        "ws_ping_timeout_s", "ws_settle_s", "ws_close_codes", "push_disorder_s",
    }  # fmt: skip
    assert not facts["name"]["live"]
    live = {name for name, one in facts.items() if one["live"]}
    assert {name for name in facts if name.startswith(("ws_", "ka_", "push_"))} == live


def test_a_default_that_can_be_changed_is_made_anew() -> None:
    """Two sources never share a list."""
    assert source().subscription is not source().subscription
    assert setting(1, doc="x").default == 1
    assert replace(source(), ws_close_codes={"4403": "refresh"}).ws_close_codes == {"4403": "refresh"}
