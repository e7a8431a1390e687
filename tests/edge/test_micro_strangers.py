"""The micro service among strangers: others use the same server, call themselves as we do, and ask what they like."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from nats.aio.msg import Msg

from bridge.core import micro
from bridge.edge.ledger.permissions import permissions
from bridge.edge.ledger.shape import LedgerNames
from bridge.edge.nats.connection import NatsOptions, connect
from bridge.edge.operator.instances import WHO, Instances, Unanswered
from tests.edge.test_micro import serving
from tests.edge.test_micro_permissions import INBOX, accounts, url
from tests.support.asking import plain_client
from tests.support.nats_server import nats_server
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

STRANGER = {
    "publish": {"allow": ["$SRV.PING", "_INBOX.>"]},
    "subscribe": {"allow": ["_INBOX.>", "$SRV.>", "bridge.srv.>"]},
}


def info(**subjects: str) -> bytes:
    told: dict[str, Any] = micro.info(micro.Identity("ID9", "north", "0.1.0", {"instance": "north"}, 0), [])
    told["endpoints"] = [{"name": name, "subject": subject} for name, subject in subjects.items()]
    return json.dumps(told).encode()


async def test_who_calls_itself_an_instance_does_not_say_where_an_operator_writes(tmp_path: Path) -> None:
    """Only the endpoints that an instance of that name has are asked: an operator may write where strangers may not."""
    async with (
        nats_server(tmp_path, extra=accounts(stranger=STRANGER), jetstream=False) as server,
        plain_client(url(server, "stranger")) as stranger,
        plain_client(url(server, "admin")) as witness,
        connect(NatsOptions(urls=(url(server, "admin"),))) as asker,
    ):
        written: list[str] = []

        async def note(message: Msg) -> None:
            written.append(message.subject)

        async def tell(message: Msg) -> None:
            await message.respond(info(status="$JS.API.STREAM.PURGE.EVENTS", reload="bridge.srv.south.reload"))

        for subject in ("$JS.API.>", "bridge.srv.south.>"):
            await witness.subscribe(subject, cb=note)
        await witness.flush()
        await stranger.subscribe(WHO, cb=tell)
        await stranger.flush()
        instances = Instances(asker)
        (one,) = await instances.find()
        for endpoint in ("status", "reload"):
            with pytest.raises(Unanswered, match="another build"):
                await instances.ask(one, endpoint, 1)
        await asker.client.flush()
        await witness.flush()
        assert written == []


async def test_an_answer_of_more_parts_than_any_instance_sends_is_none(tmp_path: Path) -> None:
    """Who answers for ever neither keeps an operator waiting for ever nor fills the memory."""
    async with (
        nats_server(tmp_path, extra=accounts(stranger=STRANGER), jetstream=False) as server,
        plain_client(url(server, "stranger")) as stranger,
        connect(NatsOptions(urls=(url(server, "admin"),))) as asker,
    ):

        async def tell(message: Msg) -> None:
            await message.respond(info(status="bridge.srv.north.status"))

        async def flood(message: Msg) -> None:
            await stranger.publish(message.reply, b"{}", headers={micro.PART: "1/1000000"})

        await stranger.subscribe(WHO, cb=tell)
        await stranger.subscribe("bridge.srv.north.status", cb=flood)
        await stranger.flush()
        instances = Instances(asker)
        (one,) = await instances.find()
        with pytest.raises(Unanswered, match="cannot be read"):
            await instances.ask(one, "status", 2)


@pytest.mark.parametrize("reply", ['_a"b', "_a\\b", "_é"], ids=["quote", "backslash", "accent"])
async def test_a_refused_answer_is_ours_wherever_it_was_to_go(tmp_path: Path, reply: str) -> None:
    """The server quotes what it names. Whoever may ask at all must not be able to have the daemon end itself."""
    mute = {
        key: rule for key, rule in permissions(LedgerNames(), INBOX, services=True).items() if key != "allow_responses"
    }
    users = accounts(bridge=mute, stranger={**STRANGER, "publish": {"allow": [">"]}})
    async with (
        nats_server(tmp_path, extra=users, jetstream=False) as server,
        serving(url(server, "bridge"), inbox_prefix=INBOX) as (connection, service),
        plain_client(url(server, "stranger")) as stranger,
    ):
        await stranger.publish("$SRV.PING", b"", reply=reply)
        await wait_until(lambda: service.refusals or connection.denied, what="the refusal")
        assert connection.denied == []


async def test_many_refused_answers_at_once_are_all_ours(tmp_path: Path) -> None:
    """However many were sent before the server says no to the first."""
    mute = {
        key: rule for key, rule in permissions(LedgerNames(), INBOX, services=True).items() if key != "allow_responses"
    }
    async with (
        nats_server(tmp_path, extra=accounts(bridge=mute), jetstream=False) as server,
        serving(url(server, "bridge"), inbox_prefix=INBOX) as (connection, service),
        plain_client(url(server, "admin")) as stranger,
    ):
        for number in range(4000):
            await stranger.publish(["$SRV.PING", "$SRV.INFO", "$SRV.STATS"][number % 3], b"", reply=f"_x.{number}")
        await stranger.flush()
        await wait_until(lambda: service.refusals > 100 or connection.denied, what="the refusals")
        await connection.client.flush()
        assert connection.denied == []
