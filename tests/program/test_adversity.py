"""What befalls machine and broker while the program runs: said once, survived without a restart, nothing lost, nothing
doubled. Real processes; the sandbox's ledger is the oracle."""

from __future__ import annotations

import json
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.support.adversity import Clock, Names, as_root, filled, no_more_files, small_disk
from tests.support.asking import ask, plain_client
from tests.support.live_webhooks import Sender, payments, webhook_daemon
from tests.support.nats_server import NatsServer, nats_server
from tests.support.ordeal import ordeal
from tests.support.program import Child
from tests.support.stream import stream_reader
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.chaos]

HOUR_S = 3600


async def lives(daemon: Child, times: int = 1) -> None:
    """Returns when its source has been live so often."""
    await wait_until(
        lambda: len(daemon.said("source.live", -1)) >= times or not daemon.running,
        what=f"the source to be live:\n{daemon.tail()}",
    )
    assert daemon.running, daemon.tail()


async def says(daemon: Child, event: str, words: str) -> str:
    """The first line of that event with these words in it, once it is there; as JSON."""

    def found() -> list[str]:
        lines = [json.dumps(line) for line in daemon.said(event, -1)]
        return [line for line in lines if words in line]

    await wait_until(lambda: found() or not daemon.running, 45, f"{event}: {words}:\n{daemon.tail()}")
    assert daemon.running, daemon.tail()
    return found()[0]


async def test_a_clock_that_steps_by_an_hour_confuses_nothing(tmp_path: Path) -> None:
    """Either way and back, under short tokens and a lease of a second: the other instance never gets the lease, nobody
    logs in more often for it, no source is lost for it, everything is stored once."""
    async with ordeal("clock", tmp_path, seed=71, sync_always=False) as scene:
        daemon, other = scene.daemon("first", lease_s=1.0), scene.daemon("second", lease_s=1.0)
        clock = Clock(daemon)
        daemon.start()
        await lives(daemon)
        other.start()
        await wait_until(lambda: other.said("source.standby"), what="the other to stand by")
        before = (await scene.vendor.counters())["logins"]
        for ahead_s in (HOUR_S, 0, -HOUR_S, 0):
            clock.set(ahead_s)
            asked = await scene.vendor.requests()
            await scene.vendor.asked(8)
            assert await scene.vendor.requests() - asked >= 8
        # Tokens live for three seconds, and a step takes one or two.
        assert (await scene.vendor.counters())["logins"] - before < 20
        assert not other.said("lease.taken")
        assert len(daemon.said("lease.taken")) == 1
        assert not [
            line for line in daemon.lines() if line["event"] in ("source.lost", "source.blocked", "source.away")
        ]
        assert await other.terminate() == 0
        (await scene.verdict()).must_be_faithful()


async def test_no_more_files_is_said_and_over_as_soon_as_there_are(tmp_path: Path) -> None:
    """Neither vendor nor broker can be connected to: both say why, and both are back once files may be opened."""
    async with ordeal("files", tmp_path, seed=72, sync_always=False) as scene:
        daemon = scene.daemon()
        daemon.start()
        await lives(daemon)
        with no_more_files(daemon.pid):
            await scene.vendor.call("POST", "faults", {"kind": "cut", "times": 3})
            await says(daemon, "source.waiting", "Too many open files")
            await scene.kill_broker()
            await says(daemon, "nats.away", "Too many open files")
        (await scene.verdict()).must_be_faithful()


@as_root
async def test_names_that_no_longer_resolve_are_said_and_come_back(tmp_path: Path) -> None:
    """The vendor's and the broker's: each message names the name and the DNS; both are there again once it does."""
    async with ordeal("names", tmp_path, seed=73, sync_always=False) as scene:
        scene.vendor.facts["url"] = scene.vendor.facts["url"].replace("127.0.0.1", "localhost")
        daemon = scene.daemon()
        path = tmp_path / "daemon.toml"
        text = path.read_text().replace("nats://127.0.0.1", "nats://broker.example")
        path.write_text(text.replace("[nats]\n", "[nats]\nplaintext = true\n", 1))
        names = Names(daemon, "broker.example")
        daemon.start()
        await says(daemon, "source.waiting", "the name localhost cannot be resolved; check the configured URL, and")
        names.know("localhost broker.example")
        await lives(daemon)
        names.know("")
        await scene.kill_broker()
        await says(daemon, "nats.away", "the name 'broker.example' cannot be resolved")
        names.know("localhost broker.example")
        (await scene.verdict()).must_be_faithful()


USER, PASSWORD = "bridge", "a-password-of-tests"


def rights(denied: list[str]) -> str:
    """The broker's users: one who may do all, and the daemon's, who may not do that."""
    deny = f", permissions: {{ publish: {{ deny: {json.dumps(denied)} }} }}" if denied else ""
    users = f"{{ user: root, password: root }}, {{ user: {USER}, password: {PASSWORD}{deny} }}"
    return f"authorization {{ users = [ {users} ] }}\nno_auth_user: root"


async def test_a_right_that_is_withdrawn_is_named_and_everything_goes_on_when_it_is_given_back(tmp_path: Path) -> None:
    """Of the source's own subjects and of JetStream's; said with what to grant; the daemon does not end."""
    async with ordeal("rights", tmp_path, seed=74, sync_always=False) as scene:
        broker = scene.broker
        await broker.kill()
        broker.configure(rights([]))
        await broker.start()
        daemon = scene.daemon()
        path = tmp_path / "daemon.toml"
        login = f'[nats]\nuser = "{USER}"\npassword = {{ env = "BROKER_PASSWORD" }}'
        path.write_text(path.read_text().replace("[nats]", login))
        daemon._environ["BROKER_PASSWORD"] = PASSWORD
        daemon.start()
        await lives(daemon)
        for number, denied in enumerate(["bridge.in.>", "bridge.cursor.>", "$JS.API.STREAM.INFO.BRIDGE"], 1):
            broker.configure(rights([denied]))
            broker.reload()
            await says(daemon, "permission.withdrawn", f"grant publish on {denied}; it is tried again until then")
            if not denied.startswith("$JS"):
                await wait_until(lambda: len(daemon.said("source.away")) >= number, what="the source to notice")  # noqa: B023
            broker.configure(rights([]))
            broker.reload()
            # That streams cannot be looked at does not stop events from being stored.
            await lives(daemon, number + 1 - denied.startswith("$JS"))
        assert len(daemon.said("permission.withdrawn")) == 3
        (await scene.verdict()).must_be_faithful()


Config = dict[str, Any]
ALTERED: list[tuple[str, Config]] = [
    ("republish", {"republish": None}),
    ("max_age", {"max_age": HOUR_S * 10**9}),
    ("subjects", {"subjects": ["bridge.in.>", "bridge.cursor.>", "bridge.owner.*", "else.>"]}),
]


async def test_a_stream_that_somebody_alters_is_named_field_by_field_and_goes_on_when_it_is_put_right(
    tmp_path: Path,
) -> None:
    """While the daemon runs: nothing more is published to it, and no restart is needed."""
    async with ordeal("altered", tmp_path, seed=75, sync_always=False) as scene:
        daemon = scene.daemon()
        daemon.start()
        await lives(daemon)
        for number, (field, wrong) in enumerate(ALTERED, 1):
            config = await altered(scene.broker, wrong)
            line = await says(daemon, "source.away", f"stream BRIDGE was altered: BRIDGE: {field} is ")
            assert ", must be " in line
            line = await says(daemon, "jetstream.away", f"BRIDGE: {field} is ")
            assert "nats stream edit" in line
            await altered(scene.broker, config)
            await lives(daemon, number + 1)
            assert len(daemon.said("jetstream.ready")) == number
        (await scene.verdict()).must_be_faithful()


async def altered(broker: NatsServer, fields: Config) -> Config:
    """Alter the stream, as an operator may. Returns how these fields were before."""
    async with plain_client(broker.url) as client:
        before = json.loads((await ask(client, "$JS.API.STREAM.INFO.BRIDGE")).data)["config"]
        answer = await ask(client, "$JS.API.STREAM.UPDATE.BRIDGE", json.dumps({**before, **fields}).encode())
        assert "error" not in json.loads(answer.data), answer.data
        return {field: before.get(field) for field in fields}


@as_root
@pytest.mark.parametrize("embedded", [True, False], ids=["embedded", "external"])
async def test_a_full_disk_is_said_and_healed_when_there_is_room(tmp_path: Path, embedded: bool) -> None:
    """The embedded server, which never writes to a store again of which a write has failed, is started anew by its
    daemon; another one by whoever it belongs to. What was confirmed is there, and nothing is doubled."""
    async with ordeal("disk", tmp_path, seed=76, embedded=embedded, sync_always=False) as scene:
        daemon = scene.daemon()
        disk = daemon.state_dir if embedded else scene.broker.store
        if not embedded:
            await scene.broker.kill()
        with small_disk(disk, 48):
            try:
                if not embedded:
                    await scene.broker.start()
                daemon.start()
                await lives(daemon)
                with filled(disk):
                    await says(daemon, "source.away", "its disk is full")
                    if embedded:
                        line = await says(daemon, "nats_server.cannot_write", "no space left on device")
                        assert f"make room where {disk}/nats lies" in line
                if embedded:
                    await says(daemon, "nats_server.renewed", "can be written to again")
                else:
                    await scene.broker.restart()
                (await scene.verdict()).must_be_faithful()
                assert len(daemon.said("nats_server.cannot_write")) == embedded
                assert daemon.lives == 1
            finally:
                daemon.close()
                if embedded:
                    scene.end_embedded_server()
                else:
                    scene.broker.kill_blocking()


async def test_a_taken_port_for_webhooks_holds_up_nothing_else(tmp_path: Path) -> None:
    """It says so once, and what to do; a reload is taken over meanwhile; as soon as it is free deliveries come in."""
    async with nats_server(tmp_path) as broker:
        daemon, url = webhook_daemon(tmp_path, broker.url)
        port = int(url.split(":")[2].partition("/")[0])
        try:
            with socket.create_server(("127.0.0.1", port)):
                daemon.start()
                line = await says(daemon, "webhooks.closed", f"[ingress] listen: 127.0.0.1:{port} is taken by another")
                assert "stop it, or choose another port" in line
                await lives(daemon)
                path = tmp_path / "daemon.toml"
                path.write_text(
                    path.read_text().replace('log_format = "json"', 'log_format = "json"\nlog_level = "debug"')
                )
                daemon.send(signal.SIGHUP)
                await wait_until(lambda: daemon.said("reload.applied"), what=f"the reload:\n{daemon.tail()}")
            await wait_until(lambda: daemon.said("webhooks.listening"), what="the door to open")
            await Sender(url).send(payments(20))
            async with stream_reader(broker.url) as reader:
                assert len([event for event in await reader.events() if event.tokens[1] == "webhook"]) == 20
            assert len(daemon.said("webhooks.closed")) == 1
            assert await daemon.terminate() == 0
        finally:
            daemon.close()
