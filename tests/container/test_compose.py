"""`config/compose`: three NATS servers and two bridges, with real servers on loopback and without containers."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import anyio
import nats.errors
import nats.js.errors
import pytest
import yaml  # type: ignore[import-untyped]
from nats.aio.client import Client

from bridge.core.errors import Away
from bridge.edge.nats.jetstream import ApiError, JetStream
from tests.support.asking import plain_client
from tests.support.nats_server import NatsServer, free_port
from tests.support.program import Child
from tests.support.waiting import wait_until

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "config" / "compose"
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text("utf-8"))
SECRETS = {"bridged": "kbridged0123456789", "consumer": "kconsumer0123456789", "system": "ksystem0123456789",
           "status": "kstatus0123456789"}  # fmt: skip
MEMBERS = ("nats-1", "nats-2", "nats-3")
"""As the services are called; the configuration's routes go there."""


def test_every_service_is_held_short() -> None:
    """A read-only root, no capability, no new rights; what is mounted is there, and what is secret is a file."""
    assert set(COMPOSE["services"]) == {*MEMBERS, "bridged-1", "bridged-2"}
    for name, service in COMPOSE["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "environment" not in service or set(service["environment"]) == {"NATS_NAME"}, name
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            if source.startswith("./"):
                told = {"./bridged.toml": "bridged.example.toml"}.get(source, source)
                assert (FOLDER / told).exists(), volume
            else:
                assert source in COMPOSE["volumes"], volume
        assert set(service["secrets"]) <= set(COMPOSE["secrets"]), name
    assert set(COMPOSE["secrets"]) == set(SECRETS)


def test_a_bridge_has_the_time_that_its_stop_may_take() -> None:
    """Longer than the deadline after which it ends itself."""
    from bridge.cli.run import STOP_DEADLINE_S

    for name in ("bridged-1", "bridged-2"):
        assert int(COMPOSE["services"][name]["stop_grace_period"].removesuffix("s")) > STOP_DEADLINE_S


def test_the_secrets_become_the_servers_variables(tmp_path: Path) -> None:
    """`start.sh`, with the folder of secrets and the server's program moved to where this test may write."""
    for name, value in SECRETS.items():
        (tmp_path / name).write_text(value, "utf-8")
    program = tmp_path / "nats-server"
    program.write_text('#!/bin/sh\necho "$BRIDGED $CONSUMER $SYSTEM $*"\n', "utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    script = (FOLDER / "start.sh").read_text("utf-8").replace("/run/secrets", str(tmp_path))
    environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    said = subprocess.run(
        ["sh", "-c", script], capture_output=True, text=True, timeout=30, check=True, env=environ
    ).stdout
    values = " ".join(SECRETS[name] for name in ("bridged", "consumer", "system"))
    assert said == f"{values} --config /etc/nats/nats.conf\n"


class Member(NatsServer):
    """One of the three, with the configuration as it is but for its name, addresses and folder."""

    def __init__(self, folder: Path, name: str, routes: dict[str, int]) -> None:
        super().__init__(folder, name=name)
        self._routes = routes

    def _write_config(self) -> None:
        text = (FOLDER / "nats.conf").read_text("utf-8")
        for member, port in self._routes.items():
            text = text.replace(f"nats://{member}:6222", f"nats://127.0.0.1:{port}")
        for there, here in (
            ("$NATS_NAME", self.name),
            ('"0.0.0.0:4222"', f'"127.0.0.1:{self.port}"'),
            ('"0.0.0.0:6222"', f'"127.0.0.1:{self._routes[self.name]}"'),
            ('http: "127.0.0.1:8222"', ""),
            ('"/data"', f'"{self.store}"'),
        ):
            assert there in text, there
            text = text.replace(there, here)
        self.config_path.write_text(text, "utf-8")


@pytest.fixture
def members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Member]]:
    """The cluster, begun."""
    for name in ("bridged", "consumer", "system"):
        monkeypatch.setenv(name.upper(), SECRETS[name])
    routes = {name: free_port() for name in MEMBERS}
    servers = [Member(tmp_path, name, routes) for name in MEMBERS]
    try:
        for server in servers:
            server.start_blocking()
        yield servers
    finally:
        for server in servers:
            server.kill_blocking()


def client(server: Member, user: str) -> AbstractAsyncContextManager[Client]:
    """A connection of one of the users."""
    inbox = "_INBOX_bridged" if user == "bridged" else "_INBOX"
    return plain_client(server.url, user=user, password=SECRETS[user], inbox_prefix=inbox)


async def replicated(server: Member) -> bool:
    """Whether the streams of the bridge are there, three times each."""
    async with client(server, "bridged") as connection:
        js = JetStream(connection, deadline_s=5.0)
        try:
            found = [await js.stream(name) for name in ("BRIDGE", "KV_bridge-state", "KV_bridge-leases")]
        except (ApiError, Away):
            return False
        return all(one["config"]["num_replicas"] == 3 and len(one["cluster"]["replicas"]) == 2 for one in found)


@pytest.mark.anyio
async def test_a_bridge_and_a_consumer_may_do_what_they_need_and_no_more(members: list[Member], tmp_path: Path) -> None:
    """The bridge makes its streams in three copies with its user's rights; a consumer reads them and writes nothing."""
    text = (FOLDER / "bridged.example.toml").read_text("utf-8")
    for name, server in zip(MEMBERS, members, strict=True):
        text = text.replace(f"nats://{name}:4222", server.url)
    for name in ("bridged", "status"):
        (tmp_path / name).write_text(SECRETS[name], "utf-8")
    text = text.replace("/run/secrets", str(tmp_path)).replace("0.0.0.0:8790", "127.0.0.1:0")
    text += f'\n[[source]]\nname = "acme"\nadapter = "pcvisit"\nhttp_url = "http://127.0.0.1:{free_port()}/graphql"\n'
    text += 'integrator_token = { env = "ANY" }\nuser_token = { env = "ANY" }\n'
    (tmp_path / "bridged.toml").write_text(text, "utf-8")
    daemon = Child(tmp_path, "daemon", ["run", "--config", str(tmp_path / "bridged.toml")], {"ANY": "a-token-of-it"})
    daemon.start()
    try:
        # What a source announces of itself is an event like any other: it may write.
        await wait_until(lambda: replicated(members[0]), 90, f"the streams\n{daemon.tail()}")
        await wait_until(lambda: daemon.said("bridged.started"), 90, f"the start\n{daemon.tail()}")
        assert daemon.said("nats.denied") + daemon.said("micro.denied") == []
        asked = [
            sys.executable,
            "-m",
            "bridge.cli.main",
            "status",
            "--json",
            "--config",
            str(tmp_path / "bridged.toml"),
        ]
        told = await anyio.run_process(asked, env={**os.environ, "ANY": "a-token-of-it"})
        assert [one["name"] for one in json.loads(told.stdout)["instances"]] == [socket.gethostname()]
        async with client(members[1], "consumer") as connection:
            js = connection.jetstream()
            consumer = await js.pull_subscribe("events.>", durable="billing", stream="BRIDGE")
            async with client(members[2], "bridged") as bridge:
                await bridge.jetstream().publish("bridge.in.a.b.c.created.1", b"{}")
            (message,) = await consumer.fetch(1, timeout=30)
            assert message.subject == "events.a.b.c.created.1"
            await message.ack_sync()
            overheard = await connection.subscribe("_INBOX_bridged.>")
            with pytest.raises(nats.errors.TimeoutError):
                await overheard.next_msg(timeout=1)
            for subject in ("bridge.in.a.b.c.created.2", "events.a.b.c.created.2", "bridge.srv.x.reload"):
                with pytest.raises((nats.errors.Error, nats.js.errors.Error)):
                    await connection.request(subject, b"{}", timeout=1)
    finally:
        daemon.close()
