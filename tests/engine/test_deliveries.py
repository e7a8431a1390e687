"""What of a request reaches the adapter: whatever is sent, it is frames, or an error that has an answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.webhook import Adapter
from bridge.adapter import HookSession, Secret, WebhookSettings
from bridge.core.errors import Malformed
from bridge.core.hooks.refusal import Unsupported, Unverified
from bridge.core.hooks.settings import HmacTable
from bridge.core.hooks.verification import Shown
from bridge.engine.deliveries import frames, trace_of
from tests.adapters.contract import json_values
from tests.support.conformance import published
from tests.support.hook_rig import SECRET
from tests.support.hook_rig import settings as standard
from tests.support.thorough import tries

NAMES = (
    "content-type", "content-encoding", "ce-id", "ce-source", "ce-specversion", "ce-type", "ce-time", "ce-x", "ce-",
    "webhook-id", "webhook-timestamp", "webhook-signature", "authorization", "traceparent", "x-hub-delivery", "x-sig",
)  # fmt: skip
TYPES = (
    "application/json", "application/cloudevents+json", "application/cloudevents-batch+json", "text/plain; charset=x",
    "application/cloudevents", "application/x+json", "text/xml", "application/json; charset=utf-8",
)  # fmt: skip
VALUES = st.one_of(
    st.text(max_size=30), st.sampled_from([*TYPES, "1.0", "v1,AAAA", "1700000000", "/a", "a b", "%ff", '"'])
)
HEADERS = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=8)


def bodies() -> st.SearchStrategy[bytes]:
    """Bytes, JSON, and what comes near to a CloudEvent."""
    attributes = st.fixed_dictionaries(
        {}, optional={name: st.one_of(st.sampled_from(["1.0", "/a", "b", ""]), json_values()) for name in
                      ("specversion", "id", "source", "type", "time", "data", "data_base64", "datacontenttype", "x")},
    )  # fmt: skip
    values = st.one_of(json_values(), attributes, st.lists(attributes, max_size=3))
    return st.one_of(st.binary(max_size=60), values.map(lambda value: json.dumps(value).encode()))


def sources() -> list[WebhookSettings]:
    secret = [Secret(SECRET)]
    common: dict[str, Any] = {"name": "shop", "adapter": "webhook", "secrets": secret}
    hub = HmacTable(header="x-sig", timestamp_prefix="t=", signed="{timestamp}.{body}")
    return [
        standard(),
        WebhookSettings(**common, verify="bearer", content="cloudevents", delivery_id="event.subject or body.id"),
        WebhookSettings(**common, verify="hmac", hmac=hub, content="json", delivery_id="headers.x-hub-delivery"),
        WebhookSettings(**common, verify="basic", user="a", event=[]),
    ]


@settings(max_examples=tries(60, 300))
@given(which=st.integers(0, 3), headers=HEADERS, query=HEADERS, body=bodies())
def test_whatever_is_sent_has_an_answer(
    which: int, headers: dict[str, str], query: dict[str, str], body: bytes
) -> None:
    """It is unverified, unsupported, malformed, or frames from which events can be made; never anything else."""
    adapter = ADAPTERS[which]
    assert adapter.hook is not None
    shown = Shown(headers, query, body)
    with pytest.raises(Unverified):
        adapter.hook.proof.check(shown, 1_700_000_000_000, None)
    try:
        told = frames(adapter.hook, shown)
    except (Unsupported, Malformed):
        return
    for frame in told:
        trace_of(frame)
        if isinstance(frame, Malformed):
            continue
        assert 0 < len(frame["delivery"]) <= 1024
        assert "authorization" not in frame["headers"]
        try:
            found = adapter.live(frame)
        except Malformed:
            continue
        for record in found:
            published(adapter, record)


ADAPTERS = [Adapter(one) for one in sources()]


def _named(session: HookSession, body: bytes, **headers: str) -> str:
    given = {"content-type": "application/json", **{name.replace("_", "-"): text for name, text in headers.items()}}
    (frame,) = frames(session, Shown(given, {}, body))
    assert not isinstance(frame, Malformed)
    name: str = frame["delivery"]
    return name


def test_a_header_that_is_not_signed_names_no_signed_delivery() -> None:
    """Whoever repeats a request could exchange it; where the signature covers it, it counts."""
    secret = [Secret("a-secret-of-the-tests")]
    plain = HmacTable(header="x-sig")
    whole = HmacTable(header="x-sig", signed="{header.webhook-id}.{body}")

    def session(table: HmacTable) -> HookSession:
        return WebhookSettings(name="a", adapter="webhook", verify="hmac", secrets=secret, hmac=table).hook

    assert _named(session(plain), b"{}", webhook_id="one") == _named(session(plain), b"{}", webhook_id="two")
    assert _named(session(whole), b"{}", webhook_id="one") == "one"


def test_where_nobody_names_a_delivery_its_content_and_its_time_do() -> None:
    """The same body signed at another time is another delivery; the same again is not, by whichever key."""
    table = HmacTable(header="x-sig", prefix="v1=", timestamp_prefix="t=", signed="{timestamp}.{body}")
    secret = [Secret("a-secret-of-the-tests")]
    session = WebhookSettings(name="a", adapter="webhook", verify="hmac", secrets=secret, hmac=table).hook
    one, two = _named(session, b"{}", x_sig="t=1,v1=aa"), _named(session, b"{}", x_sig="t=2,v1=aa")
    assert one != two
    assert one == _named(session, b"{}", x_sig="t=1,v1=bb")
    assert one != _named(session, b"[]", x_sig="t=1,v1=aa")


def test_a_name_that_is_too_long_becomes_a_short_one() -> None:
    """It would not fit into headers; two long ones stay two."""
    session = standard().hook
    one, two = (_named(session, b"{}", webhook_id="x" * 2000 + end) for end in "ab")
    assert one != two
    assert len(one) == len(two) == 32


def test_the_trace_of_an_event_comes_before_that_of_its_request() -> None:
    """`ce-traceparent` is that of the first step."""
    session = WebhookSettings(name="a", adapter="webhook", verify="bearer", secrets=[Secret("t" * 20)]).hook
    event = {"specversion": "1.0", "id": "1", "source": "/a", "type": "b", "traceparent": "first"}
    headers = {"content-type": "application/cloudevents+json", "traceparent": "last"}
    (frame,) = frames(session, Shown(headers, {}, json.dumps(event).encode()))
    assert trace_of(frame) == "first"
    (frame,) = frames(session, Shown({"traceparent": "last"}, {}, b"{}"))
    assert trace_of(frame) == "last"
    assert trace_of(Malformed("no frame")) is None


def test_what_a_signed_delivery_is_called_cannot_be_exchanged_by_headers_of_an_event() -> None:
    """In binary mode those are not signed: whoever repeats the request could make another event of it."""
    event = {"ce_specversion": "1.0", "ce_source": "/a", "ce_type": "b"}
    session = standard().hook
    assert _named(session, b"{}", webhook_id="one") == "one"
    assert _named(session, b"{}", webhook_id="one", ce_id="other", **event) == "one"
    bearer = WebhookSettings(name="a", adapter="webhook", verify="bearer", secrets=[Secret("t" * 20)]).hook
    assert _named(bearer, b"{}", webhook_id="one", ce_id="other", **event) == "/a other"
