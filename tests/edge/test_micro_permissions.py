"""The micro service under real accounts: the listed permissions suffice, each is needed, none ends the daemon."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import anyio
import nats.errors
import pytest
from structlog.testing import capture_logs

from bridge.core import micro
from bridge.core.record import Json
from bridge.edge.ledger.permissions import operator_permissions, permissions
from bridge.edge.ledger.shape import LedgerNames
from bridge.edge.micro import Endpoint
from bridge.edge.nats.connection import NatsOptions, connect
from bridge.edge.operator.instances import Found, Instances, Unanswered
from tests.edge.test_micro import serving, status
from tests.support.asking import ask, plain_client
from tests.support.nats_server import NatsServer, nats_server
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

INBOX = "_BRIDGED"
ALLOWED = permissions(LedgerNames(), INBOX, services=True)
CONSUMER = {"publish": {"allow": ["$JS.API.CONSUMER.>"]}, "subscribe": {"allow": ["_INBOX.>", "live.>"]}}


def accounts(**more: Mapping[str, Json]) -> str:
    """Users of one account: one who may do everything, and these, with exactly these permissions."""
    users: list[Json] = [{"user": "admin", "password": "p"}]
    users += [{"user": name, "password": "p", "permissions": dict(rules)} for name, rules in more.items()]
    return f"accounts: {json.dumps({'APP': {'users': users}})}"


def url(server: NatsServer, user: str) -> str:
    return server.url.replace("://", f"://{user}:p@")


def without(*subjects: str) -> dict[str, Json]:
    allow = [one for one in ALLOWED["subscribe"]["allow"] if one not in subjects]
    return {**ALLOWED, "subscribe": {"allow": allow}}


async def test_the_list_suffices_for_both_sides(tmp_path: Path) -> None:
    """A daemon and an operator with nothing else: found, asked, told in parts, and nothing was denied to anybody."""
    extra = accounts(bridge=ALLOWED, operator=operator_permissions())
    parts = [b"%d" % number for number in range(40)]
    async with nats_server(tmp_path, extra=extra, jetstream=False) as server:
        with capture_logs() as logs:
            async with (
                serving(url(server, "bridge"), status(*parts), inbox_prefix=INBOX) as (connection, _),
                connect(NatsOptions(urls=(url(server, "operator"),))) as asker,
            ):
                instances = Instances(asker)
                (one,) = await instances.find()
                assert await instances.ask(one, "status", 30) == [*range(40)]
                async with plain_client(url(server, "admin")) as nc:
                    for subject in micro.control_subjects("ID1"):
                        assert json.loads((await ask(nc, subject)).data)["id"] == "ID1"
                assert (connection.denied, asker.denied, instances.denied) == ([], [], set())
        assert not [line for line in logs if "denied" in line["event"]]
        assert "Permissions Violation" not in server.log


async def test_each_subject_is_needed_and_its_lack_is_said_once(tmp_path: Path) -> None:
    """The log names the grant. All other subjects are answered, and the connection's owner hears of no refusal."""
    listened = micro.listened()[:-1]
    users = {f"lacks-{number}": without(subject) for number, subject in enumerate(listened)}
    async with (
        nats_server(tmp_path, extra=accounts(**users), jetstream=False) as server,
        plain_client(url(server, "admin")) as nc,
    ):
        for subject, user in zip(listened, users, strict=True):
            with capture_logs() as logs:
                async with serving(url(server, user), inbox_prefix=INBOX) as (connection, _):
                    await wait_until(lambda logs=logs: any(line["event"] == "micro.denied" for line in logs))
                    for one in (*micro.control_subjects("ID1"), "bridge.srv.north.status"):
                        try:
                            await ask(nc, one)
                        except nats.errors.NoRespondersError:
                            assert micro.grant(one) == subject
                        else:
                            assert micro.grant(one) != subject
                    assert connection.denied == []
            assert [line["subscribe"] for line in logs if line["event"] == "micro.denied"] == [[subject]]
            assert not [line for line in logs if line["event"] == "nats.denied"]


async def test_who_may_answer_nobody_says_so(tmp_path: Path) -> None:
    """Without `allow_responses` every answer is refused: said once, whoever asks how often, and nothing ends."""
    mute = {key: rule for key, rule in ALLOWED.items() if key != "allow_responses"}
    async with nats_server(tmp_path, extra=accounts(bridge=mute), jetstream=False) as server:
        with capture_logs() as logs:
            async with (
                serving(url(server, "bridge"), inbox_prefix=INBOX) as (connection, service),
                plain_client(url(server, "admin")) as nc,
            ):
                for _ in range(3):
                    with pytest.raises(nats.errors.TimeoutError):
                        await nc.request("bridge.srv.north.status", timeout=0.2)
                await wait_until(lambda: service.refusals >= 3, what="three refusals")
                await wait_until(lambda: any(line["event"] == "micro.denied" for line in logs))
                assert connection.denied == []
        (said,) = [line for line in logs if line["event"] == "micro.denied"]
        assert (said["subscribe"], said["allow_responses"]) == ([], False)
        assert not [line for line in logs if line["event"] == "nats.denied"]


async def test_what_is_granted_later_is_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the next connection at the latest, and on the same one after a while: both without a restart of ours."""
    denied = {**ALLOWED, "subscribe": {"allow": [f"{INBOX}.>"]}}
    async with nats_server(tmp_path, extra=accounts(bridge=denied), jetstream=False) as server:
        with capture_logs() as logs:

            def said(event: str) -> int:
                return sum(line["event"] == event for line in logs)

            async def found() -> list[Found]:
                async with connect(NatsOptions(urls=(url(server, "admin"),))) as asker:
                    return await Instances(asker).find()

            async with serving(url(server, "bridge"), inbox_prefix=INBOX) as (connection, _):
                await wait_until(lambda: said("micro.denied"))
                assert await found() == []
                await server.kill()
                server.configure(accounts(bridge=ALLOWED))
                await server.start()
                await wait_until(lambda: connection.epoch == 2)
                await wait_until(found, what="the instance to be found after a reconnect")
            assert said("micro.denied") == 1
            monkeypatch.setattr("bridge.edge.micro.AGAIN_S", 0.2)
            server.configure(accounts(bridge=denied))
            await server.restart()
            async with serving(url(server, "bridge"), inbox_prefix=INBOX) as (connection, _):
                await wait_until(lambda: said("micro.denied") == 2)
                server.configure(accounts(bridge=ALLOWED))
                server.reload()
                await wait_until(lambda: said("micro.granted"), what="the grant to be noticed")
                assert await found()
                assert connection.epoch == 1
        assert said("micro.denied") == 2


async def test_a_consumer_can_ask_nothing_of_us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has no rights on `bridge.>` reaches no endpoint, and hears at once that it is not allowed to ask."""
    monkeypatch.setattr("bridge.edge.operator.instances.FIRST_S", 600.0)
    asked: list[str] = []

    async def answer() -> list[bytes]:
        asked.append("reload")
        return [b"{}"]

    reload = micro.endpoint_subject("north", "reload")
    one = Found("ID1", "north", "h", 7, "0.1.0", {"reload": reload})
    async with nats_server(tmp_path, extra=accounts(bridge=ALLOWED, consumer=CONSUMER), jetstream=False) as server:
        async with (
            serving(url(server, "bridge"), Endpoint("reload", answer, 5.0), inbox_prefix=INBOX),
            connect(NatsOptions(urls=(url(server, "consumer"),))) as asker,
        ):
            instances = Instances(asker)
            with anyio.fail_after(90):
                assert await instances.find() == []
            assert (instances.denied, instances.silent) == ({"$SRV.INFO.bridged"}, False)
            with anyio.fail_after(90), pytest.raises(Unanswered, match=f"denies this user publish on {reload}"):
                await instances.ask(one, "reload", 600)
            assert asker.denied == []
            async with connect(NatsOptions(urls=(url(server, "admin"),))) as admin:
                assert await Instances(admin).ask(one, "reload", 30) == [{}]
        assert asked == ["reload"]
