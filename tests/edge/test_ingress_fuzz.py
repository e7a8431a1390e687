"""Deliveries of every kind, signed or not, through the listener's own parser to a source that takes webhooks: never a
500, never a source that stops, and whatever was confirmed is in the ledger.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bridge.adapter import WebhookSettings
from bridge.core.config import IngressSettings
from bridge.edge.ingress.house import House
from tests.support import hook_rig, live_webhooks
from tests.support.hook_rig import SECRET, Instance, order, signed
from tests.support.live_webhooks import Delivery
from tests.support.memory_ledger import MemoryLedger
from tests.support.overheard import overheard
from tests.support.sim_vendor import wall
from tests.support.thorough import tries

EXPECTED = {200, 202, 204, 400, 401, 404, 405, 411, 413, 415, 429, 431}
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")

# --- bodies -------------------------------------------------------------------------------------------------------

WORDS = st.sampled_from(
    ["type", "id", "version", "state", "gone", "order", "ping", "specversion", "source", "data", "data_base64", "time"]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**25), 10**25)
    | st.floats()
    | st.text(max_size=10)
    | WORDS
    | st.sampled_from(["", ".", "a.b", "*", ">", "\x00", "\ud800", "é" * 300, "2026-01-01T00:00:00Z", "9" * 400, "-0"])
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=5), inner, max_size=5)
)
ORDERS = st.builds(
    lambda id_, version, more: {"type": "order", "id": id_, "version": version, **more},
    SCALARS, SCALARS, st.dictionaries(WORDS, VALUES, max_size=3),
)  # fmt: skip
CLOUD = st.builds(
    lambda id_, kind, more: {"specversion": "1.0", "id": id_, "source": "/shop", "type": kind, **more},
    SCALARS, SCALARS, st.dictionaries(WORDS, VALUES, max_size=4),
)  # fmt: skip
DOCUMENTS = st.one_of(VALUES, ORDERS, CLOUD, st.lists(CLOUD, max_size=4)).map(
    lambda value: json.dumps(value).encode("utf-8", "surrogatepass")
)
ODD = st.sampled_from(
    [
        b"",
        b"{}",
        b"[]",
        b'{"id":1,"id":2,"type":"order"}',
        b'{"type":"order","version":NaN}',
        b'{"type":"order","version":1e999}',
        b'{"type":"\\ud800","id":"\\udfff"}',
        b'\xef\xbb\xbf{"type":"ping"}',
        '{"type":"ping"}'.encode("utf-16"),
        b'{"type":"ping","a":"\xff\xfe"}',
        b"[" * 5_000,
        b"[" * 400 + b"]" * 400,
        b'{"a":' * 400 + b"1" + b"}" * 400,
        b'{"type":"order","id":"' + b"x" * 3_000 + b'","version":1}',
        b'{"type":"order","id":1,"version":' + b"9" * 5_000 + b"}",
        b"type=ping&id=1",
        b'{"type":"ping"} trailing',
        b"x" * 3_000_000,
    ]
)
BODIES = DOCUMENTS | ODD | st.binary(max_size=100)

# --- requests -----------------------------------------------------------------------------------------------------

TYPES = st.sampled_from(
    [
        "application/json", "application/cloudevents+json", "application/cloudevents-batch+json", "text/plain", "",
        "application/json; charset=utf-16", "application/cloudevents+xml", "application/x-www-form-urlencoded", ";;",
        "APPLICATION/JSON;charset=\"utf-8\"", "application/cloudevents+json; charset=latin-1", "a/b/c", "*/*",
    ]
)  # fmt: skip
NAMES = st.sampled_from(
    [
        "ce-specversion", "ce-id", "ce-source", "ce-type", "ce-time", "ce-datacontenttype", "ce-x", "ce-", "ce-a_b",
        "webhook-id", "webhook-timestamp", "webhook-signature", "traceparent", "authorization", "origin",
        "webhook-request-origin", "webhook-request-rate", "webhook-request-callback",
    ]
)  # fmt: skip
TEXTS = st.sampled_from(
    [
        *("1.0", "0.3", "x", "", "%", "%E2%82%AC", "%ff", "2026-01-01T00:00:00Z", "v1,AAAA", "v1a,AAAA v1,?", "v1"),
        *("120", "9" * 40, "-1", "1e5", "\u0661", "Basic x", "Bearer ", "00-0-0-0", "https://a.example", "*"),
        "a" * 2_000,
    ]
) | st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Zl", "Zp")), max_size=10)


IDS = st.sampled_from(["msg_1", "msg_2", "a.b", "x" * 400, "é", " ", "*"]) | st.text("abc.>* ", min_size=1, max_size=5)


@dataclass(frozen=True)
class Attempt:
    """One request. Mostly one that a sender with the right key would make, of a body it should not. No id: unsigned."""

    method: str
    path: str
    id: str | None
    headers: Mapping[str, str]
    body: bytes

    def written(self) -> bytes:
        """As it is sent now; headers that were drawn take the place of those that are right."""
        key = SECRET.removeprefix("whsec_")
        right = live_webhooks.signed(Delivery(self.id, self.body), at_s=wall() / 1000, key=key) if self.id else {}
        return _written(self.method, self.path, {**right, **self.headers}, self.body)


@st.composite
def attempts(draw: st.DrawFn) -> Attempt:
    """Any of them."""
    return Attempt(
        draw(st.sampled_from(["POST"] * 8 + ["OPTIONS", "GET", "PUT", "HEAD"])),
        draw(
            st.sampled_from(["/hooks/shop"] * 8 + ["/hooks/", "/hooks/other", "/", "/hooks/shop/", "/hooks/shop?a=%ff"])
        ),
        draw(IDS) if draw(st.integers(0, 9)) else None,
        {
            "content-type": draw(TYPES),
            **(draw(st.dictionaries(NAMES, TEXTS, max_size=4)) if not draw(st.integers(0, 2)) else {}),
        },
        draw(BODIES),
    )


def _written(method: str, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: h", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def _deliver(tried: list[Attempt], given: WebhookSettings) -> Counter[int]:
    ledger, found = MemoryLedger(), Counter[int]()
    shop = Instance(ledger, given)
    house = House(IngressSettings(), shop.hooks)
    async with shop.running():
        for attempt in tried:
            heard = [int(status) for status in STATUS.findall(await overheard(house, attempt.written()))]
            assert set(heard) <= EXPECTED, heard
            assert house.counts.bugs == 0
            found.update(heard)
        # None of it stopped the source: what is in order is taken, and is in the ledger.
        last = signed("msg_last", order("last", 1))
        heard_last = await overheard(house, _written("POST", "/hooks/shop", last.headers, last.body))
        assert STATUS.findall(heard_last) == [b"202"]
        assert any(entry.subject.endswith(".order.created.last") for entry in ledger.events)
        assert shop.live
    return found


_KIND = {"content-type": "application/json"}
SURE = [
    Attempt("POST", "/hooks/shop", "msg_1", _KIND, json.dumps(order("first", 1)).encode()),
    Attempt("POST", "/hooks/shop", "msg_2", _KIND, b"{"),
    Attempt("POST", "/hooks/shop", None, _KIND, b"{}"),
]
"""One that is taken, and two that are not: which answers there are is no matter of luck."""


def fuzz(examples: int) -> Counter[int]:
    """How often which answer came."""
    found: Counter[int] = Counter()

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(attempts(), min_size=1, max_size=8))
    @example(SURE)
    def search(tried: list[Attempt]) -> None:
        found.update(asyncio.run(_deliver(tried, hook_rig.settings(allowed_origins=["*"]))))

    search()
    return found


def test_no_delivery_is_a_bug() -> None:
    """Odd JSON, odd CloudEvents, odd headers, with a right signature or a wrong one: each has its answer."""
    assert fuzz(tries(8, 25)).keys() >= {202, 400, 401}


@pytest.mark.chaos
@pytest.mark.timeout(3000)
def test_no_delivery_is_a_bug_at_length() -> None:
    """The same, a thousand times up to eight deliveries."""
    found = fuzz(1_000)
    print(dict(found))
    assert found.keys() >= {202, 400, 401, 404, 413, 415}
