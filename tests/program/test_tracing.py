"""Traces of a real daemon, received by a real collector, and held against what the stream says of the same events."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.alert_receiver import alert_receiver
from tests.support.collector import Collector, Seen, collector
from tests.support.live_scene import live_scene
from tests.support.live_webhooks import Delivery, signed, webhook_daemon
from tests.support.nats_server import free_port, nats_server
from tests.support.program import Child
from tests.support.stream import Stored, stream_reader
from tests.support.waiting import wait_until

TOKEN = "a-token-for-the-collector-alone"
KEY = "whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"
TRACE, STEP = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PLANT: dict[str, Any] = {"objects": 4, "history": 6, "deletes": False}
ALERT = """
[[alert]]
name = "each"
subjects = ["platform.>"]
where = "change != 'never'"
title = "{ce_id}"
[[alert.webhook]]
name = "hook"
url = "HOOK"
secret = { env = "ALERT_KEY" }
"""
NAMES = (
    r"receive plant|notice plant|publish (events|telemetry)\.(\*\.plant|bridge)\.>|alert each"
    r"|create events\.platform\.plant\.object\.(created|updated|deleted|snapshot)\.\*"
    r"|create (events|telemetry)\.platform\.plant\.\*\.occurred\.\*"
    r"|create events\.bridge\.(plant\.source\.(connected|lost)|each\.alert\.occurred)\.\*"
)
"""Every name a span of this scene can have: few, whatever happens at the vendor."""
KEYS = re.compile(r"messaging\.|cloudevents\.event_|bridged\.|error\.type$")

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]


def tracing(endpoint: str, more: str = "") -> str:
    """The table, as TOML."""
    return f'[tracing]\nendpoint = "{endpoint}"\ntoken = {{ env = "OTLP_TOKEN" }}\n{more}\n'


async def test_the_trace_of_an_event_is_the_one_it_carries(tmp_path: Path) -> None:
    """From the frame or page over the event and the write to the alert: one tree, whose root the event names."""
    async with (
        collector() as seen,
        alert_receiver() as receiver,
        live_scene(tmp_path, {"plant": ("platform", PLANT)}, seed=151) as scene,
    ):
        rarely = dict.fromkeys(("stores_every_s", "journal_every_s", "packets_every_s"), 3.0)
        scene.listen("plant", scene.vendors[0], stores=["objects"], **rarely)
        scene.also(tracing(seen.url) + ALERT.replace("HOOK", receiver.url("/hook")))
        await scene.begin(ALERT_KEY=KEY, OTLP_TOKEN=TOKEN)
        await wait_until(lambda: scene.daemon.said("alerts.begin"), what="the alerts to begin")
        await scene.vendors[0].rate(10)
        await scene.vendors[0].changed(20)
        await scene.calm()
        (await scene.verdict(passes=1)).must_be_faithful()
        await seen.until(lambda: len(seen.named("alert each")) >= 10, "alerts to be told")
        stop_began = time.monotonic()
        assert await scene.daemon.terminate() == 0
        assert time.monotonic() - stop_began < 30
        events = [*await scene.reader.events(), *await scene.reader.telemetry()]
        # What was stored last left with the flush.
        judge(seen, events)
        assert tells_nothing(seen, events, [*scene.environ.values(), TOKEN, KEY]) == []
        assert {headers["Authorization"] for headers in seen.headers} == {f"Bearer {TOKEN}"}
        text = scene.daemon.text()
    assert TOKEN not in text
    assert "tracing." not in text


def judge(seen: Collector, events: list[Stored]) -> None:
    """Fails where spans and stream do not say the same."""
    spans = {(span.trace, span.span): span for span in seen.spans}
    assert len(spans) == len(seen.spans), "two spans have one name"
    made = {span.attributes["messaging.message.id"]: span for span in seen.named("create")}
    assert len(made) == len(seen.named("create")), "an event was made twice"
    assert made.keys() == {event.headers["ce-id"] for event in events}, "not one span for each event"
    ways: dict[str, int] = {}
    for event in events:
        id_, traceparent = event.headers["ce-id"], event.headers["ce-traceparent"]
        create = made[id_]
        assert create.span == id_[:16]
        root = spans[(create.trace, create.parent)]
        assert root.traceparent == traceparent, event.subject
        assert root.parent == ""
        assert root.start_ns <= create.start_ns <= create.end_ns
        # An alert follows from what was stored before.
        assert event.tokens[3] == "alert" or create.end_ns <= root.end_ns
        publishes = [span for span in seen.named("publish") if (create.trace, create.span) in span.links]
        (publish,) = publishes
        assert create.end_ns == publish.start_ns <= event.at_ms * 1_000_000 + 1_000_000
        assert (event.at_ms - 1) * 1_000_000 <= publish.end_ns
        ways[str(root.attributes["bridged.via"])] = ways.get(str(root.attributes["bridged.via"]), 0) + 1
    assert ways["live"] > 5
    assert ways["page"] > 5
    many = [span for span in seen.named("publish") if len(span.links) > 1]
    assert many
    for span in many:
        assert span.attributes["messaging.batch.message_count"] == len(span.links)
        roots = {(trace, spans[(trace, step)].parent) for trace, step in span.links}
        # Of one page: a step of its trace. Of several: a trace of its own.
        assert {(span.trace, span.parent)} == roots if len(roots) == 1 else span.parent == ""
    by_id = {event.headers["ce-id"]: event for event in events}
    for span in seen.named("alert each"):
        alert = by_id[str(span.attributes["messaging.message.id"])]
        cause = by_id[alert.data["after"]["events"][0]["ce_id"]]
        assert f"00-{span.trace}-{span.parent}-01" == cause.headers["ce-traceparent"]
        assert span.kind == "producer"
        assert span.attributes["messaging.destination.name"] == "hook"
    (resource,) = {json.dumps(span.resource, sort_keys=True) for span in seen.spans}
    assert json.loads(resource)["service.name"] == "bridged"


def tells_nothing(seen: Collector, events: list[Stored], secrets: list[str]) -> list[str]:
    """What a span tells that none may tell."""
    found = [f"the name {span.name}" for span in seen.spans if not re.fullmatch(NAMES, span.name)]
    found += [f"the key {key}" for span in seen.spans for key in span.attributes if not KEYS.match(key)]
    bodies = b"\n".join(seen.bodies)
    found += ["a secret" for secret in secrets if secret.encode() in bodies]
    texts = {event.data["id"] for event in events if event.tokens[1] == "platform"}
    texts |= {text for event in events if event.tokens[1] == "platform" for text in _texts(event.data["after"])}
    # Short ones lie within other words.
    return found + [f"a vendor's text {text}" for text in texts if len(text) > 7 and text.encode() in bodies]


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for one in value.values() for text in _texts(one)]
    if isinstance(value, list):
        return [text for one in value for text in _texts(one)]
    return [value] if isinstance(value, str) else []


async def test_a_webhook_goes_on_with_its_senders_trace(tmp_path: Path) -> None:
    """Our span is a step below the sender's, whose context the event carries unchanged; what the sender does not record
    is not recorded here; one without a trace begins one. Nothing of what it says is told."""
    async with collector() as seen, nats_server(tmp_path) as broker:
        daemon, url = webhook_daemon(tmp_path, broker.url)
        daemon = traced(daemon, tmp_path, tracing(seen.url))
        body = b'{"type": "order", "order": {"id": "Erika.Mustermann", "version": 1}}'
        daemon.start()
        try:
            await post(daemon, url, Delivery("with", body), f"00-{TRACE}-{STEP}-01")
            await post(
                daemon, url, Delivery("unrecorded", body.replace(b"Erika", b"Max")), f"00-{TRACE[::-1]}-{STEP}-00"
            )
            await post(daemon, url, Delivery("without", body.replace(b"Erika", b"Eva")), "")
            async with stream_reader(broker.url) as reader:
                events = {event.data["id"]: event for event in await reader.events() if event.tokens[1] == "webhook"}
            assert await daemon.terminate() == 0
        finally:
            daemon.close()
    assert b"Mustermann" not in b"".join(seen.bodies)
    assert b"order" not in b"".join(seen.bodies)
    assert events["Erika.Mustermann"].headers["ce-traceparent"] == f"00-{TRACE}-{STEP}-01"
    received, create, publish = steps(seen, TRACE)
    assert (received.parent, received.kind, received.attributes["bridged.via"]) == (STEP, "consumer", "webhook")
    assert received.span != STEP
    assert create.parent == publish.parent == received.span
    assert create.name == "create events.webhook.shop.*.created.*"
    assert publish.links == [(create.trace, create.span)]
    assert events["Max.Mustermann"].headers["ce-traceparent"] == f"00-{TRACE[::-1]}-{STEP}-00"
    assert not [span for span in seen.spans if span.trace == TRACE[::-1]]
    begun = events["Eva.Mustermann"].headers["ce-traceparent"]
    received, _, _ = steps(seen, begun[3:35])
    assert (received.traceparent, received.parent) == (begun, "")


def steps(seen: Collector, trace: str) -> tuple[Seen, Seen, Seen]:
    """The three spans of a trace: received, created, published."""
    found = sorted((span for span in seen.spans if span.trace == trace), key=lambda span: "rcp".index(span.name[0]))
    received, create, publish = found
    return received, create, publish


async def test_a_collector_that_is_away_costs_no_event(tmp_path: Path) -> None:
    """It is said once, with what to do; events go on; when it is back that is said, with how much was dropped. One that
    never answers holds up a stop for two seconds."""
    port = free_port()
    async with nats_server(tmp_path) as broker:
        daemon, url = webhook_daemon(tmp_path, broker.url)
        daemon = traced(daemon, tmp_path, tracing(f"http://127.0.0.1:{port}/v1/traces?key=quiet"))
        daemon.start()
        try:
            await post(daemon, url, payment(1))
            await wait_until(lambda: daemon.said("tracing.dropped"), what="the drop to be said")
            for number in range(2, 5):
                await post(daemon, url, payment(number))
            async with collector(port) as seen:
                number = 4
                while not daemon.said("tracing.delivered"):
                    number += 1
                    assert number < 500
                    await post(daemon, url, payment(number))
                await seen.until(lambda: seen.spans, "spans to come")
                seen.status = None
                heard = len(seen.paths)
                await post(daemon, url, payment(0))
                await wait_until(lambda: len(seen.paths) > heard, what="the collector to hang")
                await post(daemon, url, payment(1000))
                began = time.monotonic()
                assert await daemon.terminate() == 0
                assert time.monotonic() - began < 20
            async with stream_reader(broker.url) as reader:
                stored = [event for event in await reader.events() if event.tokens[1] == "webhook"]
        finally:
            daemon.close()
    assert len(stored) == number + 2
    (dropped,) = daemon.said("tracing.dropped")
    assert dropped["collector"] == f"127.0.0.1:{port}/v1/traces"
    assert dropped["reason"] == "it cannot be reached, or broke off"
    (delivered,) = daemon.said("tracing.delivered")
    assert delivered["dropped"] >= 3
    (left,) = daemon.said("tracing.left")
    assert left["spans"] >= 3
    assert "quiet" not in daemon.text()
    assert "Traceback" not in daemon.text()


def payment(number: int) -> Delivery:
    return Delivery(f"p{number}", json.dumps({"type": "payment", "amount": number}).encode())


def traced(daemon: Child, folder: Path, table: str) -> Child:
    """The same daemon with this table."""
    path = folder / "daemon.toml"
    path.write_text(path.read_text("utf-8").replace("[ingress]", f"{table}[ingress]"), "utf-8")
    environ = {"SHOP_KEY": daemon._environ["SHOP_KEY"], "OTLP_TOKEN": TOKEN}
    return Child(folder, daemon.name, ["run", "--config", str(path)], environ)


async def post(daemon: Child, url: str, delivery: Delivery, traceparent: str = "") -> None:
    """Returns when it is confirmed."""
    more = {"traceparent": traceparent} if traceparent else {}
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as http:

        async def confirmed() -> bool:
            assert daemon.running, daemon.tail()
            try:
                async with http.post(url, data=delivery.body, headers=signed(delivery) | more) as answer:
                    assert answer.status in (202, 429, 503), await answer.text()
                    return answer.status == 202
            except (aiohttp.ClientError, OSError):
                return False

        await wait_until(confirmed, what=f"{delivery.id} to be taken")
