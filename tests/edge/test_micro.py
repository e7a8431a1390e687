"""The daemon as a NATS micro service: on a real server, seen by nats-py's own view of such services."""

from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import nats.micro
import pytest
from nats.micro.service import ServiceInfo, ServicePing, ServiceStats
from structlog.testing import capture_logs

from bridge.core.errors import Away
from bridge.core.micro import Identity
from bridge.edge.micro import Endpoint, MicroService
from bridge.edge.nats.connection import NatsConnection, NatsOptions, connect
from bridge.edge.operator.instances import Instances, Unanswered
from tests.support.asking import ask, plain_client
from tests.support.nats_server import NatsServer, nats_server
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with nats_server(tmp_path, jetstream=False) as server:
        yield server


def identity(instance: str = "north", id_: str = "ID1") -> Identity:
    metadata = {"instance": instance, "host": "h", "pid": "7", "build": "0.1.0"}
    return Identity(id_, instance, "0.1.0", metadata, 1_767_225_600_000)


def answering(*messages: bytes) -> Callable[[], Awaitable[Sequence[bytes]]]:
    async def answer() -> Sequence[bytes]:
        return messages

    return answer


def status(*messages: bytes) -> Endpoint:
    return Endpoint("status", answering(*messages), 5.0, lambda: {"sources": 3})


@asynccontextmanager
async def serving(
    url: str, *endpoints: Endpoint, who: Identity | None = None, **options: Any
) -> AsyncIterator[tuple[NatsConnection, MicroService]]:
    """A service that answers while the block runs."""
    async with connect(NatsOptions(urls=(url,), **options)) as connection:
        service = MicroService(connection, who or identity(), endpoints or (status(b"{}"),))
        async with anyio.create_task_group() as group:
            group.start_soon(service.run)
            await wait_until(lambda: service.listening, what="the service to listen")
            yield connection, service
            group.cancel_scope.cancel()


async def test_it_speaks_as_any_micro_service_does(server: NatsServer) -> None:
    """PING, INFO and STATS, to all, by name, by id: nats-py reads it, and its own service has the same keys."""

    async def handle(_: object) -> None:
        """Nobody asks."""

    async with serving(server.url), plain_client(server.url) as nc:
        with warnings.catch_warnings():
            # nats-py asks for the time in a way that Python has given up.
            warnings.simplefilter("ignore", DeprecationWarning)
            theirs = await nats.micro.add_service(nc, name="other", version="1.0.0", metadata={"a": "b"})
            await theirs.add_endpoint(name="status", handler=handle, subject="other.status")
        for verb, kind in (("PING", ServicePing), ("INFO", ServiceInfo), ("STATS", ServiceStats)):
            answers = [json.loads((await ask(nc, f"$SRV.{verb}.bridged{id_}")).data) for id_ in ("", ".ID1")]
            other = json.loads((await ask(nc, f"$SRV.{verb}.other")).data)
            for answer in answers:
                assert answer.keys() == other.keys()
                read: Any = kind.from_dict(answer)
                assert (read.id, read.name, read.version, read.type) == ("ID1", "bridged", "0.1.0", other["type"])
                assert read.metadata == {"instance": "north", "host": "h", "pid": "7", "build": "0.1.0"}
                for ours, one in zip(answer.get("endpoints", []), other.get("endpoints", []), strict=True):
                    assert ours.keys() == one.keys()
        both = nc.new_inbox()
        inbox = await nc.subscribe(both)
        await nc.publish("$SRV.PING", reply=both)
        assert {json.loads((await inbox.next_msg(30)).data)["name"] for _ in range(2)} == {"bridged", "other"}
        await theirs.stop()


async def test_endpoints_and_statistics(server: NatsServer) -> None:
    """INFO says where an endpoint is asked; STATS counts what was, and carries data."""
    async with serving(server.url, status(b'{"a":1}')), plain_client(server.url) as nc:
        info = ServiceInfo.from_dict(json.loads((await ask(nc, "$SRV.INFO.bridged")).data))
        (endpoint,) = info.endpoints
        assert (endpoint.name, endpoint.subject, endpoint.queue_group) == (
            "status", "bridge.srv.north.status", ""
        )  # fmt: skip
        for _ in range(3):
            assert (await ask(nc, endpoint.subject)).data == b'{"a":1}'
        told = json.loads((await ask(nc, "$SRV.STATS.bridged.ID1")).data)
        assert told["started"] == "2026-01-01T00:00:00.000Z"
        (one,) = told["endpoints"]
        assert (one["num_requests"], one["num_errors"], one["data"]) == (3, 0, {"sources": 3})
        assert one["processing_time"] > one["average_processing_time"] > 0


async def test_a_failure_is_an_answer(server: NatsServer) -> None:
    """A condition in its own words, a bug without any of them, and silence beyond the deadline."""

    async def away() -> Sequence[bytes]:
        raise Away("NATS is\r\naway")

    async def bug() -> Sequence[bytes]:
        raise RuntimeError("s3cret")

    async def slow() -> Sequence[bytes]:
        await anyio.sleep_forever()
        return []

    endpoints = Endpoint("away", away, 5.0), Endpoint("bug", bug, 5.0), Endpoint("slow", slow, 0.05)
    async with serving(server.url, *endpoints), plain_client(server.url) as nc:
        with capture_logs() as logs:
            found = [(await ask(nc, f"bridge.srv.north.{one.name}")).headers or {} for one in endpoints]
        assert [(one["Nats-Service-Error-Code"], one["Nats-Service-Error"]) for one in found] == [
            ("503", "NATS is away"),
            ("500", "an error of ours: see the log of this instance"),
            ("504", "no answer within 0.05 s"),
        ]
        assert [line["event"] for line in logs] == ["micro.bug"]
        told = (await ask(nc, "$SRV.STATS.bridged")).data.decode()
        assert "s3cret" not in told
        assert [one["num_errors"] for one in json.loads(told)["endpoints"]] == [1, 1, 1]


async def test_a_busy_endpoint_blocks_nothing_and_many_questions_get_one_answer(server: NatsServer) -> None:
    """While one is at work PING is answered; who asks meanwhile is told at the end of one more go, not of fifty."""
    begun, go, times = anyio.Event(), anyio.Event(), 0

    async def slow() -> Sequence[bytes]:
        nonlocal times
        times += 1
        begun.set()
        await go.wait()
        return [b"%d" % times]

    async with serving(server.url, Endpoint("reload", slow, 60.0)) as (_, service), plain_client(server.url) as nc:
        answers: list[bytes] = []

        async def one() -> None:
            answers.append((await ask(nc, "bridge.srv.north.reload")).data)

        async with anyio.create_task_group() as group:
            group.start_soon(one)
            await begun.wait()
            for _ in range(50):
                group.start_soon(one)
            await nc.flush()
            assert json.loads((await ask(nc, "$SRV.PING.bridged")).data)["id"] == "ID1"
            go.set()
        assert sorted(set(answers)) == [b"1", b"2"]
        assert service.dropped == 0


async def test_a_flood_is_bounded(server: NatsServer) -> None:
    """Of ten thousand questions while one is at work, sixty-four wait; the others are counted and dropped."""
    begun, go = anyio.Event(), anyio.Event()

    async def slow() -> Sequence[bytes]:
        begun.set()
        await go.wait()
        return [b""]

    async with serving(server.url, Endpoint("status", slow, 60.0)) as (_, service), plain_client(server.url) as nc:
        await nc.publish("bridge.srv.north.status", reply="_nobody")
        await begun.wait()
        for _ in range(10_000):
            await nc.publish("bridge.srv.north.status", reply="_nobody")
        await wait_until(lambda: service.dropped == 10_000 - 64, what="the rest to be dropped")
        go.set()
        assert json.loads((await ask(nc, "$SRV.PING.bridged")).data)["id"] == "ID1"


async def test_questions_without_reply_or_for_another_are_not_answered(server: NatsServer) -> None:
    """Two of one name: who is meant by its id answers alone; who is not meant does not even work for it."""
    asked: list[str] = []

    def counting(id_: str) -> Endpoint:
        async def answer() -> Sequence[bytes]:
            asked.append(id_)
            return [id_.encode()]

        return Endpoint("status", answer, 5.0)

    first, second = (serving(server.url, counting(one), who=identity(id_=one)) for one in ("ID1", "ID2"))
    async with first, second, connect(NatsOptions(urls=(server.url,))) as asker:
        instances = Instances(asker)
        found = await instances.find()
        assert [one.id for one in found] == ["ID1", "ID2"]
        await asker.client.publish("bridge.srv.north.status")
        for one in found:
            with pytest.raises(Unanswered, match="cannot be read"):
                await instances.ask(one, "status", 30)
        assert asked == ["ID1", "ID2"]


async def test_nobody_can_have_us_write_where_only_we_may(server: NatsServer) -> None:
    """Who asks names where the answer goes: to an inbox, or nowhere; not into the stream, nor to an API."""
    async with serving(server.url, inbox_prefix="OURS") as (_, service), plain_client(server.url) as nc:
        heard: list[str] = []

        async def hear(message: Any) -> None:
            if message.reply == "":
                heard.append(message.subject)

        await nc.subscribe(">", cb=hear)
        replies = ["bridge.in.acme", "bridge.srv.north.reload", "$JS.API.STREAM.DELETE.X", "OURSELVES", "events.a"]
        for subject in ("$SRV.PING", "$SRV.INFO.bridged", "bridge.srv.north.status"):
            for reply in (*replies, "_INBOX.mine", "_MINE.other", "OURS.x"):
                await nc.publish(subject, reply=reply)
        await wait_until(lambda: len(heard) == 9, what="nine answers")
        # What is asked later is answered later.
        await ask(nc, "bridge.srv.north.status")
        assert sorted({one for one in heard if not one.startswith("_INBOX.") or one == "_INBOX.mine"}) == [
            "OURS.x", "_INBOX.mine", "_MINE.other"
        ]  # fmt: skip
        assert service.dropped == 0


async def test_names_of_any_kind_are_found_and_asked(server: NatsServer) -> None:
    """Dots, wildcards, blanks, letters of any script, and a name beyond all measure."""
    for name in ("a.b *", "büro >", "日本", "x" * 300, "$SRV"):
        async with (
            serving(server.url, status(b'"here"'), who=identity(name)),
            connect(NatsOptions(urls=(server.url,))) as asker,
        ):
            instances = Instances(asker)
            (one,) = await instances.find()
            assert (one.instance, one.host, one.pid, one.build) == (name, "h", 7, "0.1.0")
            assert await instances.ask(one, "status", 30) == ["here"]


async def test_an_answer_in_parts_comes_whole(server: NatsServer) -> None:
    """In order, whatever their number; silence in between is said."""
    messages = [json.dumps([number, "x" * 100_000]).encode() for number in range(40)]
    async with serving(server.url, status(*messages)), connect(NatsOptions(urls=(server.url,))) as asker:
        instances = Instances(asker)
        (one,) = await instances.find()
        assert [part[0] for part in await instances.ask(one, "status", 30)] == [*range(40)]
        with pytest.raises(Unanswered, match="another build"):
            await instances.ask(one, "dance", 30)


async def test_nobody_there_is_known_at_once(server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a listener there is nothing to wait for; one that is gone since is said so."""
    monkeypatch.setattr("bridge.edge.operator.instances.FIRST_S", 600.0)
    async with connect(NatsOptions(urls=(server.url,))) as asker:
        instances = Instances(asker)
        with anyio.fail_after(90):
            assert await instances.find() == []
        assert not instances.silent
        async with serving(server.url):
            (one,) = await instances.find()
        with pytest.raises(Unanswered, match="listens no more"):
            await instances.ask(one, "status", 30)


async def test_one_who_listens_and_is_silent_is_said_to(server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that stands still: asked in vain for a while, and that is told."""
    monkeypatch.setattr("bridge.edge.operator.instances.FIRST_S", 0.1)
    async with plain_client(server.url) as frozen, connect(NatsOptions(urls=(server.url,))) as asker:
        await frozen.subscribe("$SRV.INFO.bridged")
        await frozen.flush()
        instances = Instances(asker)
        assert await instances.find() == []
        assert instances.silent


async def test_others_of_our_name_are_passed_over(server: NatsServer) -> None:
    """Whatever answers: no JSON, none of ours, half of it."""
    async with (
        plain_client(server.url) as other,
        connect(NatsOptions(urls=(server.url,))) as asker,
        serving(server.url),
    ):

        async def answer(message: Any) -> None:
            for text in (
                b"",
                b"{",
                b"[]",
                b'{"name":"bridged"}',
                b'{"name":"x","id":"1","metadata":{},"endpoints":[]}',
            ):
                await message.respond(text)

        await other.subscribe("$SRV.INFO.bridged", cb=answer)
        await other.flush()
        assert [one.id for one in await Instances(asker).find()] == ["ID1"]


async def test_it_answers_again_when_nats_is_back(server: NatsServer) -> None:
    """After a restart of the server, without anybody's doing; a question in between is not answered and harms none."""
    async with serving(server.url) as (connection, _):
        await server.kill()
        await wait_until(lambda: not connection.connected)
        await server.start()
        await wait_until(lambda: connection.connected)
        async with plain_client(server.url) as nc:

            async def answers() -> bool:
                try:
                    return (await ask(nc, "bridge.srv.north.status")).data == b"{}"
                except nats.errors.NoRespondersError:
                    return False

            await wait_until(answers, what="an answer")


@pytest.mark.parametrize("away", [False, True], ids=["NATS there", "NATS away"])
async def test_nothing_of_it_outlives_its_scope(server: NatsServer, away: bool) -> None:
    """No task, no subscription, no hook: whether or not NATS can be told."""
    async with connect(NatsOptions(urls=(server.url,))) as connection:
        await connection.client.flush()
        tasks, subscriptions = asyncio.all_tasks(), set(connection.client._subs)
        async with anyio.create_task_group() as group:
            service = MicroService(connection, identity(), (status(b"{}"),))
            group.start_soon(service.run)
            await wait_until(lambda: service.listening, what="the service to listen")
            assert len(connection.client._subs) == len(subscriptions) + 10
            if away:
                await server.kill()
                await wait_until(lambda: not connection.connected)
            group.cancel_scope.cancel()
        assert set(connection.client._subs) == subscriptions
        assert (connection.excuse, connection.client._taps) == (None, {})
        if not away:
            await wait_until(lambda: asyncio.all_tasks() <= tasks, what="tasks to end")
