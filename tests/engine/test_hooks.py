"""The doors of webhooks over the ledger's twin, on a virtual clock: what is confirmed is stored, and stored once."""

from __future__ import annotations

import base64
import json
from typing import Any

import anyio
import pytest

from bridge.adapter import Secret
from bridge.core.event import timestamp
from bridge.core.hooks.event_table import EventTable
from bridge.core.lifecycle import State
from bridge.core.settings import BadSetting
from bridge.engine.ports import Incoming, Reply
from tests.support.engine import on_virtual_clock
from tests.support.hook_rig import (
    TOKEN,
    Instance,
    bearer,
    deliver,
    hub_signature,
    order,
    post,
    settings,
    signed,
    tokened,
)
from tests.support.memory_ledger import Entry, Fault, MemoryLedger
from tests.support.sim_vendor import wall


def told(ledger: MemoryLedger, vendor: str = "webhook") -> list[tuple[str, str, str]]:
    """Entity, change and id of every event, in stream order."""
    found = [entry.subject.split(".") for entry in ledger.events]
    return [(one[3], one[4], one[5]) for one in found if one[1] == vendor]


def quarantined(ledger: MemoryLedger) -> list[Entry]:
    return [entry for entry in ledger.events if ".quarantine." in entry.subject]


def test_a_delivery_is_confirmed_once_the_ledger_has_it_and_not_before() -> None:
    """202 comes after the write, however long that takes, and not while it is under way."""

    async def main() -> None:
        ledger = MemoryLedger()
        shop = Instance(ledger, settings())
        async with shop.running():
            ledger.latency_s = 2.0
            began = anyio.current_time()
            reply = await shop(signed("msg_1", order("7", 1)))
            assert reply == Reply(202)
            assert anyio.current_time() - began >= 2.0
            assert told(ledger) == [("order", "created", "7")]

    on_virtual_clock(main)


def test_what_is_delivered_again_is_one_event() -> None:
    """By `webhook-id` for what occurred, by its version for an entity; both times with 202, side by side or later."""

    async def main() -> None:
        ledger = MemoryLedger()
        shop = Instance(ledger, settings())
        async with shop.running():
            same = [signed("msg_1", {"type": "ping"}), signed("msg_2", order("7", 1))]
            assert {reply.status for reply in await deliver(shop, *same, *same)} == {202}
            assert {reply.status for reply in await deliver(shop, *same)} == {202}
        assert sorted(told(ledger)) == [("order", "created", "7"), ("ping", "occurred", "msg_1")]
        # Another process, which remembers nothing, learns it from the stream.
        after = Instance(ledger, settings())
        async with after.running():
            assert {reply.status for reply in await deliver(after, *same)} == {202}
        assert len(told(ledger)) == 2

    on_virtual_clock(main)


def test_an_older_state_does_not_return() -> None:
    """Senders repeat in any order: what is older than what is known is confirmed, and changes nothing."""

    async def main() -> None:
        ledger = MemoryLedger()
        shop = Instance(ledger, settings())
        async with shop.running():
            for id_, version, state in (("a", 1, "new"), ("b", 3, "paid"), ("a", 1, "new"), ("c", 2, "packed")):
                assert (await shop(signed(f"msg_{id_}", order("7", version, state)))).status == 202
            assert (await shop(signed("msg_d", order("7", 4, gone=True)))).status == 202
            assert (await shop(signed("msg_b", order("7", 3, "paid")))).status == 202
        assert told(ledger) == [("order", "created", "7"), ("order", "updated", "7"), ("order", "deleted", "7")]
        assert ledger.events[-2].data["after"] == {"state": "paid"}
        assert ledger.events[-2].data["before"] == {"state": "new"}

    on_virtual_clock(main)


def test_who_is_not_verified_leaves_no_trace_in_the_stream() -> None:
    """401 for another key, another body, a clock that is off by a day, a replay; the reply does not say which."""

    async def main() -> None:
        ledger = MemoryLedger()
        shop = Instance(ledger, settings())
        async with shop.running():
            before = len(ledger.events)
            good = signed("msg_1", {"type": "ping"})
            day_ms = 86_400_000
            wrong = [
                post(good.body, **{**good.headers, "webhook_signature": "v1,AAAA"}),
                Incoming("POST", good.path, good.headers, good.body + b" "),
                Incoming("POST", good.path, {**good.headers, "webhook-id": "msg_2"}, good.body),
                signed("msg_1", {"type": "ping"}, at_ms=wall() - day_ms),
                signed("msg_1", {"type": "ping"}, at_ms=wall() + day_ms),
                post(good.body),
            ]
            replies = await deliver(shop, *wrong)
            assert {reply.status for reply in replies} == {401}
            assert {reply.body for reply in replies} == {
                "the delivery could not be verified; the receiver's log says why"
            }
            assert len(ledger.events) == before
            await anyio.sleep(301)
            assert (await shop(good)).status == 401

    on_virtual_clock(main)


def test_other_doors_answer_by_their_rules() -> None:
    """404 for an unknown source, 405 with Allow for other methods, 410 for a retired one, before a body is read."""

    async def main() -> None:
        shop = Instance(MemoryLedger(), settings())
        old = Instance(MemoryLedger(), settings(retired=True))
        async with shop.running(), old.running():
            for path in ("/", "/hooks", "/hooks/", "/hooks/none", "/hooks/shop/x", "/shop", "hooks/shop"):
                limit = shop.hooks.limit("POST", path)
                assert isinstance(limit, Reply)
                assert limit.status == 404
            assert shop.hooks.limit("POST", "/hooks/shop") == 512 * 1024
            for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "BREW"):
                refused = shop.hooks.limit(method, "/hooks/shop")
                assert isinstance(refused, Reply)
                assert (refused.status, refused.headers) == (405, {"Allow": "POST"})
            gone = old.hooks.limit("POST", "/hooks/shop")
            assert isinstance(gone, Reply)
            assert gone.status == 410
            assert (await old(signed("msg_1", {}))).status == 410

    on_virtual_clock(main)


@pytest.mark.parametrize(
    ("body", "headers", "status", "says"),
    [
        (b"x" * 1025, {}, 413, "longer than 1024 bytes"),
        (b"a=1", {"content_type": "application/x-www-form-urlencoded"}, 415, "set it to application/json"),
        (b"<a/>", {"content_type": "application/xml"}, 415, "set it to application/json"),
        (b"{}", {"content_encoding": "gzip"}, 415, "compressed"),
        (b"{}", {"content_type": "application/cloudevents+avro"}, 415, "CloudEvents in another format"),
        (b'{"a": 1, "a": 2}', {}, 400, "one name twice"),
        (b'{"a": "\xff"}', {}, 400, "invalid UTF-8"),
        (b"{", {}, 400, "not JSON"),
        (b"", {}, 400, "empty body"),
        (b"[" * 5000, {}, 400, "nested deeper"),
        (b'{"a": NaN}', {}, 400, "NaN is not JSON"),
        (b"{}", {"content_type": "application/cloudevents+json"}, 400, "specversion is missing"),
    ],
)
def test_a_body_that_cannot_be_read_gets_a_clear_answer(
    body: bytes, headers: dict[str, Any], status: int, says: str
) -> None:
    """Once it is verified. What is broken in a format that is read is kept in the quarantine, for people to look at."""

    async def main() -> None:
        ledger = MemoryLedger()
        shop = Instance(ledger, settings(max_body_kb=1, event=[]))
        async with shop.running():
            reply = await shop(signed("msg_1", body, **headers))
            assert reply.status == status
            assert says in reply.body
            assert told(ledger) == []
            assert len(quarantined(ledger)) == (1 if status == 400 else 0)

    # The longest is longer than is allowed here, and is refused by its nesting elsewhere.
    if len(body) == 5000:
        body = b"[" * 1000
    on_virtual_clock(main)


def test_no_body_is_confirmed_that_could_not_be_kept_whole() -> None:
    """Whatever `max_body_kb` allows: half of what NATS takes in one message is the most, as the other may be needed."""

    async def main() -> None:
        ledger = MemoryLedger()
        most = ledger.max_payload // 2
        shop = Instance(ledger, bearer(max_body_kb=8192, event=[EventTable(when={"body.a": "b"}, entity="order")]))
        async with shop.running():
            head, tail = b'["', b'"]'
            whole = head + b'\\"' * ((most - 4) // 2) + tail
            assert (await shop(tokened(whole + b" " * (most - len(whole) + 1)))).status == 413
            assert shop.hooks.limit("POST", "/hooks/shop") == most
            assert (await shop(tokened(whole))).status == 202
        (aside,) = quarantined(ledger)
        assert not aside.data["after"]["truncated"]

    on_virtual_clock(main)


def test_what_no_table_fits_is_kept_and_confirmed() -> None:
    """A retry would not help: 202, and the quarantine has the body, without headers and what they prove."""

    async def main() -> None:
        ledger = MemoryLedger()
        shop = Instance(ledger, bearer(event=[EventTable(when={"body.type": "order"}, entity="order")]))
        async with shop.running():
            assert (await shop(tokened({"type": "refund"}, x_api_key="k" * 30))).status == 202
        (aside,) = quarantined(ledger)
        assert aside.data["after"]["raw"] == '{"type":"refund"}'
        assert "no [[source.event]] fits" in aside.data["after"]["reason"]
        assert TOKEN.encode() not in b"".join(entry.payload for entry in ledger.events)

    on_virtual_clock(main)


def test_while_nats_is_away_a_sender_is_asked_to_come_again_at_once() -> None:
    """503 with Retry-After, before the body is read; when NATS is back the same delivery is stored, once."""

    async def main() -> None:
        ledger = MemoryLedger()
        shop = Instance(ledger, settings())
        async with shop.running():
            ledger.go_away()
            began = anyio.current_time()
            reply = await shop(signed("msg_1", {"type": "ping"}))
            assert (reply.status, reply.headers) == (503, {"Retry-After": "5"})
            assert anyio.current_time() - began <= 1.5
            await anyio.sleep(2)
            assert not shop.door.open
            limit = shop.hooks.limit("POST", "/hooks/shop")
            assert isinstance(limit, Reply)
            assert (limit.status, limit.headers) == (503, {"Retry-After": "5"})
            ledger.come_back()
            await anyio.sleep(10)
            assert (await shop(signed("msg_1", {"type": "ping"}))).status == 202
        assert told(ledger) == [("ping", "occurred", "msg_1")]

    on_virtual_clock(main)


@pytest.mark.parametrize("fault", [Fault.AWAY_STORED, Fault.AWAY_LOST])
def test_a_connection_that_is_lost_for_a_moment_costs_no_sender_an_attempt(fault: Fault) -> None:
    """The delivery waits for the source to be opened anew, and is stored once, whether it was before or not."""

    async def main() -> None:
        ledger = MemoryLedger()
        shop = Instance(ledger, settings())
        async with shop.running():
            ledger.append_faults.append(fault)
            assert (await shop(signed("msg_1", {"type": "ping"}))).status == 202
            assert (await shop(signed("msg_2", order("7", 1)))).status == 202
        assert told(ledger) == [("ping", "occurred", "msg_1"), ("order", "created", "7")]

    on_virtual_clock(main)


def test_a_ledger_that_does_not_answer_is_not_waited_for_for_ever() -> None:
    """503 after `answer_timeout_s`; what was stored after that is known when the sender comes again."""

    async def main() -> None:
        ledger = MemoryLedger()
        shop = Instance(ledger, settings(), answer_timeout_s=5.0)
        async with shop.running():
            ledger.latency_s = 8.0
            began = anyio.current_time()
            reply = await shop(signed("msg_1", {"type": "ping"}))
            assert (reply.status, reply.headers["Retry-After"]) == (503, "5")
            assert anyio.current_time() - began == pytest.approx(5.0)
            await anyio.sleep(20)
            ledger.latency_s = 0.0
            assert (await shop(signed("msg_1", {"type": "ping"}))).status == 202
        assert told(ledger) == [("ping", "occurred", "msg_1")]

    on_virtual_clock(main)


def test_more_than_may_be_under_way_is_put_off() -> None:
    """429 with Retry-After for those beyond `max_in_flight`, also when who sent the others has left."""

    async def main() -> None:
        ledger = MemoryLedger()
        shop = Instance(ledger, settings(max_in_flight=3), answer_timeout_s=60.0)
        async with shop.running():
            ledger.latency_s = 5.0
            with anyio.move_on_after(1.0):
                await deliver(shop, *(signed(f"msg_{n}", {"type": "ping"}) for n in range(3)))
            reply = await shop(signed("msg_3", {"type": "ping"}))
            assert (reply.status, reply.headers) == (429, {"Retry-After": "1"})
            limit = shop.hooks.limit("POST", "/hooks/shop")
            assert isinstance(limit, Reply)
            assert limit.status == 429
            await anyio.sleep(20)
            assert (await shop(signed("msg_3", {"type": "ping"}))).status == 202
        assert len(told(ledger)) == 4

    on_virtual_clock(main)


def test_a_confirmed_delivery_that_nobody_can_read_is_kept_whole() -> None:
    """Its sender believes us to have it, and nobody else does."""

    async def main() -> None:
        ledger = MemoryLedger(1_048_576)
        shop = Instance(ledger, bearer(event=[EventTable(entity="order", id="body.missing")]))
        async with shop.running():
            body = {"text": "Ärger" * 52_000}
            assert (await shop(tokened(body))).status == 202
            (entry,) = quarantined(ledger)
            assert entry.data["after"]["truncated"] is False
            assert json.loads(entry.data["after"]["raw"]) == body

    on_virtual_clock(main)


def test_items_of_a_list_count_as_those_of_a_batch_do() -> None:
    """A small body may hold half a million, and nobody else would get a turn while they are made events.

    It is refused, and not set aside: the quarantine keeps only the beginning of what is long.
    """

    async def main() -> None:
        ledger = MemoryLedger()
        shop = Instance(ledger, bearer(event=[EventTable(each="body.items", entity="thing")]))
        async with shop.running():
            reply = await shop(tokened({"items": [1] * 5001}))
            assert (reply.status, reply.body) == (413, "a batch of 5001 events; send at most 5000 at once")
            assert told(ledger) == []
            async with anyio.create_task_group() as group:
                ledger.latency_s = 1.0
                group.start_soon(shop, tokened({"items": [1] * 3000}))
                await anyio.sleep(0.1)
                group.start_soon(shop, tokened({"items": [2] * 2000}))
                await anyio.sleep(0.1)
                assert (await shop(tokened({"items": [3]}))).status == 429
            assert len(told(ledger)) == 5000
            assert (await shop(tokened({"items": [3]}))).status == 202

    on_virtual_clock(main)


@pytest.mark.parametrize("large", [[1] * 5000, ["x" * 8_388_000]])
def test_a_large_delivery_is_not_kept_out_by_small_ones(large: list[Any]) -> None:
    """Where there is always something under way, it would be told to try again for ever."""

    async def main() -> None:
        ledger = MemoryLedger(max_payload=16 * 1024 * 1024)
        shop = Instance(ledger, bearer(max_body_kb=8192, event=[EventTable(each="body.items", entity="thing")]))
        async with shop.running(), anyio.create_task_group() as group:
            ledger.latency_s = 1.0
            group.start_soon(shop, tokened({"items": ["small" * 1000]}))
            await anyio.sleep(0.1)
            assert (await shop(tokened({"items": large}))).status == 202

    on_virtual_clock(main)


def test_a_batch_is_confirmed_when_all_of_it_is_stored() -> None:
    """Events of one batch are told in order, each by its own source and id; an empty batch is confirmed, too."""

    async def main() -> None:
        ledger = MemoryLedger()
        shop = Instance(ledger, bearer(event=[]))
        async with shop.running():
            ledger.append_faults.extend([None, Fault.UNKNOWN_STORED, Fault.UNKNOWN_LOST])
            batch = [_event(n) for n in ("1", "2", "3", "2")]
            reply = await shop(tokened(batch, content_type="application/cloudevents-batch+json; charset=UTF-8"))
            assert reply.status == 202
            assert told(ledger) == [("com-example-thing", "occurred", f"=2Fshop=20{n}") for n in ("1", "2", "3")]
            assert (await shop(tokened([], content_type="application/cloudevents-batch+json"))).status == 202
            spoilt = [_event("4"), {**_event("5"), "type": ""}]
            reply = await shop(tokened(spoilt, content_type="application/cloudevents-batch+json"))
            assert (reply.status, "event 2 of 2" in reply.body) == (400, True)
            assert len(told(ledger)) == 3

    on_virtual_clock(main)


def test_the_three_modes_of_cloudevents_are_one() -> None:
    """Binary, structured and batched: the same event three times is stored once, with its time."""

    async def main() -> None:
        ledger = MemoryLedger()
        shop = Instance(ledger, bearer(event=[]))
        async with shop.running():
            event = _event("1")
            binary = {f"ce_{name}": value for name, value in event.items() if name != "data"}
            requests = [
                tokened(event, content_type="application/cloudevents+json"),
                tokened([event], content_type="application/cloudevents-batch+json"),
                tokened(event["data"], **binary),
            ]
            assert [reply.status for reply in await deliver(shop, *requests)] == [202, 202, 202]
        (entry,) = [entry for entry in ledger.events if entry.subject.startswith("events.webhook.")]
        assert entry.headers["ce-time"] == "2024-01-01T00:00:00.000Z"
        assert entry.data["after"] == {"n": "1"}

    on_virtual_clock(main)


def _event(id_: str) -> dict[str, Any]:
    return {"specversion": "1.0", "id": id_, "source": "/shop", "type": "com.Example.Thing",
            "time": "2024-01-01T00:00:00Z", "data": {"n": id_}}  # fmt: skip


def test_senders_of_cloudevents_may_ask_first() -> None:
    """OPTIONS is answered where origins are configured, to those only, with the rate that is granted."""

    async def main() -> None:
        shop = Instance(MemoryLedger(), bearer(allowed_origins=["Eventing.example.com"], allowed_rate=120))
        anybody = Instance(MemoryLedger(), bearer(allowed_origins=["*"]))
        async with shop.running(), anybody.running():
            asked = {"webhook-request-origin": "eventing.example.com", "webhook-request-rate": "600"}
            granted = await shop(Incoming("OPTIONS", "/hooks/shop", asked))
            assert granted == Reply(
                200, "",
                {"Allow": "POST", "WebHook-Allowed-Origin": "eventing.example.com", "WebHook-Allowed-Rate": "120"},
            )  # fmt: skip
            stranger = {"webhook-request-origin": "evil.example.com"}
            assert (await shop(Incoming("OPTIONS", "/hooks/shop", stranger))).status == 405
            assert (await shop(Incoming("OPTIONS", "/hooks/shop", {}))).status == 405
            assert (await anybody(Incoming("OPTIONS", "/hooks/shop", stranger))).headers["WebHook-Allowed-Rate"] == "*"

    on_virtual_clock(main)


def test_a_signature_of_another_scheme_and_a_delivery_that_its_header_names() -> None:
    """An HMAC over the body, with a prefix; `delivery_id` tells two deliveries of the same body apart."""

    async def main() -> None:
        from bridge.core.hooks.settings import HmacTable

        ledger = MemoryLedger()
        secret = "hub-secret-of-the-tests"
        hub = settings(
            verify="hmac", secrets=[Secret("another-one-of-before-0001"), Secret(secret)], event=[],
            hmac=HmacTable(header="X-Hub-Signature-256", prefix="sha256="), delivery_id="headers.X-Hub-Delivery",
        )  # fmt: skip
        shop = Instance(ledger, hub)
        async with shop.running():
            body = b'{"zen": "Keep it logically awesome."}'
            proof = {"x_hub_signature_256": hub_signature(secret, body)}
            for delivery in ("d-1", "d-2", "d-1"):
                assert (await shop(post(body, **proof, x_hub_delivery=delivery))).status == 202
            # Without the header its content tells.
            for _ in range(2):
                assert (await shop(post(body, **proof))).status == 202
            assert (await shop(post(body + b" ", **proof))).status == 401
        assert [id_ for _, _, id_ in told(ledger)][:2] == ["d-1", "d-2"]
        assert len(told(ledger)) == 3

    on_virtual_clock(main)


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("given", "good", "bad", "challenge"),
    [
        (
            {"verify": "bearer", "header": "X-Gitlab-Token"},
            {"headers": {"x-gitlab-token": TOKEN}},
            {"headers": {"authorization": f"Bearer {TOKEN}"}},
            None,
        ),
        (
            {"verify": "bearer", "query_token": True},
            {"query": {"access_token": TOKEN}},
            {"query": {"access_token": TOKEN[:-1]}},
            "Bearer",
        ),
        (
            {"verify": "bearer"},
            {"headers": {"authorization": f"bearer {TOKEN}"}},
            {"query": {"access_token": TOKEN}},
            "Bearer",
        ),
        (
            {"verify": "basic", "user": "shop"},
            {"headers": {"authorization": _basic("shop", TOKEN)}},
            {"headers": {"authorization": _basic("shop2", TOKEN)}},
            'Basic realm="webhooks", charset="UTF-8"',
        ),
        (
            {"verify": "mtls", "secrets": [], "clients": ["shop.example.com", "spiffe://example.com/shop"]},
            {"names": ["Shop", "spiffe://example.com/shop"]},
            {"names": ["shop.example.com.evil.example"]},
            None,
        ),
    ],
)
def test_each_way_to_prove_it(
    given: dict[str, Any], good: dict[str, Any], bad: dict[str, Any], challenge: str | None
) -> None:
    """202 with the proof, 401 with another or none; where HTTP has a word for it, it says what is missing."""

    async def main() -> None:
        shop = Instance(MemoryLedger(), bearer(**given, event=[]))

        def request(headers: Any = None, **more: Any) -> Incoming:
            return Incoming(
                "POST", "/hooks/shop", {"content-type": "application/json", **(headers or {})}, b"{}", **more
            )

        async with shop.running():
            assert (await shop(request(**good))).status == 202
            for wrong in (bad, {}):
                reply = await shop(request(**wrong))
                assert (reply.status, reply.headers.get("WWW-Authenticate")) == (401, challenge)

    on_virtual_clock(main)


def test_credentials_go_no_further_than_the_verification() -> None:
    """Neither tokens nor signatures are in what a table may publish, also where it publishes all headers."""

    async def main() -> None:
        ledger = MemoryLedger()
        shop = Instance(ledger, bearer(event=[EventTable(fields={"headers": "headers", "query": "query"})]))
        async with shop.running():
            given = tokened({}, x_api_key="k-1", cookie="c-1", x_forwarded_client_cert="f-1", x_event="ping")
            request = Incoming("POST", given.path, given.headers, given.body, {"access_token": "q-1", "shop": "7"})
            assert (await shop(request)).status == 202
        (entry,) = [entry for entry in ledger.events if entry.subject.startswith("events.webhook.")]
        assert entry.data["after"] == {
            "headers": {"content-type": "application/json", "x-event": "ping"},
            "query": {"shop": "7"},
        }

    on_virtual_clock(main)


def test_nothing_is_missed_while_nobody_listens() -> None:
    """The sender repeats what was not confirmed: neither a restart nor an absence of NATS opens a gap."""

    async def main() -> None:
        ledger = MemoryLedger()
        for _ in range(2):
            shop = Instance(ledger, settings())
            async with shop.running():
                assert (await shop(signed("msg_1", {"type": "ping"}))).status == 202
                ledger.go_away()
                await shop(signed("msg_2", {"type": "ping"}))
                await anyio.sleep(60)
                ledger.come_back()
                await anyio.sleep(60)
                assert shop.runner.status.state is State.LIVE
        own = [entity for entity, _, _ in told(ledger, "bridge")]
        assert own == ["source"], "one that says connected, and no gap"

    on_virtual_clock(main)


def test_the_time_of_an_event_is_the_senders_where_it_tells_one() -> None:
    """Else it is when the delivery came."""

    async def main() -> None:
        ledger = MemoryLedger()
        dated = EventTable(when={"body.type": "dated"}, at="body.created as epoch_s")
        shop = Instance(ledger, settings(event=[dated, EventTable()]))
        async with shop.running():
            await shop(signed("msg_1", {"type": "dated", "created": 1_704_067_200}))
            now_ms = wall()
            await shop(signed("msg_2", {"type": "other"}))
        events = [entry for entry in ledger.events if entry.subject.startswith("events.webhook.")]
        assert [entry.headers["ce-time"] for entry in events] == ["2024-01-01T00:00:00.000Z", timestamp(now_ms)]

    on_virtual_clock(main)


def test_a_secret_that_is_no_key_is_said_without_showing_it() -> None:
    """Where it was configured, and what it should begin with."""
    wrong = settings(secrets=[Secret("hunter2-hunter2", "env SHOP_SECRET")])
    with pytest.raises(BadSetting, match="of env SHOP_SECRET") as caught:
        wrong._proof()
    assert "hunter2" not in str(caught.value)
