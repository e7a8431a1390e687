"""`bridged check --online`: every check, what it says when it fails, and that it writes nothing."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

import bridge.sandbox
from bridge.cli import check_embedded
from bridge.cli.check_source import _slow
from bridge.core.budget import Limit
from bridge.core.errors import Throttled
from bridge.edge.ledger.layout import LedgerNames, state_config, stream_config
from bridge.engine.quota import Quota
from tests.support.asking import plain_client, plain_jetstream
from tests.support.certificates import Authority
from tests.support.command import Setup
from tests.support.handmade import HandmadeStream, handmade_stream
from tests.support.inside import inside
from tests.support.nats_server import NatsServer, free_port, nats_server
from tests.support.program import PlayedVendor
from tests.support.waiting import wait_until
from tests.support.web import server_tls, serving

pytestmark = pytest.mark.anyio

SUBSCRIPTIONS = (Path(bridge.sandbox.__file__).parent / "pcvisit_subscriptions.toml").read_text("utf-8")

GIVE_UP_S = 4.0
"""Sooner than the command by itself, where nobody is there or all is well."""
PATIENT_S = 30.0
"""Where what is wrong with a NATS must have shown by then, on a busy machine too."""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with nats_server(tmp_path) as server:
        yield server


async def checks(setup: Setup, code: int, *, give_up_s: float = GIVE_UP_S, **environ: str) -> dict[str, dict[str, Any]]:
    """The checks by name; the command's exit code and its verdict must be as expected."""
    done = await inside(setup, "check", "--online", "--json", environ=environ, give_up_s=give_up_s)
    assert done.code == code, done
    assert done.json["ok"] is (code == 0)
    found = {check["check"]: check for check in done.json["checks"]}
    assert any(check["exit"] == code for check in found.values())
    return found


def failing(found: dict[str, dict[str, Any]]) -> list[str]:
    return [name for name, check in found.items() if not check["ok"]]


async def everything(server: NatsServer) -> dict[str, Any]:
    """All there is to JetStream on a server: its streams with their states and consumers."""
    async with plain_client(server.url) as client:
        streams = await plain_jetstream(client).streams_info()
        return {str(info.config.name): (info.state, info.config) for info in streams}


async def test_all_is_well_and_nothing_is_there_yet(server: NatsServer, vendor: PlayedVendor, tmp_path: Path) -> None:
    """Every check passes, it is said what would be made, and nothing is made: neither on NATS nor at the vendor."""
    setup = Setup(tmp_path, vendor, nats=f'url = "{server.url}"')
    before = await vendor.counters()
    found = await checks(setup, 0)
    assert list(found) == [
        "nats", "nats-server", "permissions", "jetstream", "stream BRIDGE", "stream KV_bridge-state",
        "stream KV_bridge-leases",
        "acme: login", "acme: first page", "acme: other walks", "acme: budget",
    ]  # fmt: skip
    assert "`bridged run` makes it" in found["stream BRIDGE"]["says"]
    assert "lives for" in found["acme: login"]["says"]
    assert "0 of them unreadable" in found["acme: first page"]["says"]
    assert found["acme: other walks"]["says"] == "5 more can be read"
    assert "1000000 requests per 60 s" in found["acme: budget"]["says"]
    assert await everything(server) == {}
    after = await vendor.counters()
    assert after["requests"] - before.get("requests", 0) == 2 + 5
    assert after["changes"] == before["changes"]


async def test_a_token_of_a_minute_is_renewed_at_half_of_its_life(tmp_path: Path) -> None:
    """What is said is what the daemon does: a margin as long as the token's life is cut to half of it."""
    played = PlayedVendor(tmp_path, rate=0, seed=1, jwt_lifetime_s=60)
    try:
        await played.begin()
        found = await checks(Setup(tmp_path, played, nats=f'url = "nats://127.0.0.1:{free_port()}"'), 69)
    finally:
        played.close()
    says = found["acme: login"]["says"]
    told = re.fullmatch(r"accepted; the token lives for (\d+) s and is renewed when (\d+) s of it are left", says)
    assert told is not None, says
    # A JWT's times are whole seconds, and the login takes some of them on a busy machine.
    assert 40 <= int(told[1]) <= 60
    assert abs(int(told[2]) * 2 - int(told[1])) <= 2


async def test_people_read_lines(server: NatsServer, vendor: PlayedVendor, tmp_path: Path) -> None:
    """One line per check after the explanation of the configuration, and a verdict; no record, no secret."""
    done = await Setup(tmp_path, vendor, nats=f'url = "{server.url}"').run("check", "--online")
    assert (done.code, done.err) == (0, "")
    assert "source acme: adapter pcvisit" in done.out
    assert "ok      acme: login" in done.out
    assert done.out.endswith("the daemon can work\n")
    assert not any(secret in done.out for secret in vendor.secrets)
    assert "supporter" not in done.out


async def test_a_stream_that_is_there_is_left_as_it_is(
    server: NatsServer, vendor: PlayedVendor, tmp_path: Path
) -> None:
    """Stream and view with what they hold are compared; the attempts at publishing leave no trace."""
    async with handmade_stream(server.url) as stream:
        await stream.make()
        await stream._ask("$JS.API.STREAM.CREATE.KV_bridge-state", state_config(LedgerNames()))
        await stream.event("pcvisit.acme.session.created.1", {})

    async def seen_in_the_view() -> bool:
        return bool((await everything(server))["KV_bridge-state"][0].messages)

    await wait_until(seen_in_the_view, what="the view to hold the event")
    before = await everything(server)
    found = await checks(Setup(tmp_path, vendor, nats=f'url = "{server.url}"'), 0)
    assert found["stream BRIDGE"]["says"] == "is what it must be; 1 messages"
    after = await everything(server)
    assert after == before
    assert before["BRIDGE"][0].messages == 1


async def test_differences_field_by_field(server: NatsServer, vendor: PlayedVendor, tmp_path: Path) -> None:
    """Exit 78; each field with what it is, what it must be and what to do; the stream stays as it is."""
    async with handmade_stream(server.url) as stream:
        await wrong_stream(stream)
    before = await everything(server)
    found = await checks(Setup(tmp_path, vendor, nats=f'url = "{server.url}"'), 78)
    assert failing(found) == ["stream BRIDGE"]
    assert "nothing was changed" in found["stream BRIDGE"]["says"]
    details = "\n".join(found["stream BRIDGE"]["details"])
    assert "max_msgs is 10, must be -1: " in details
    assert "allow_atomic is False, must be True: " in details
    assert await everything(server) == before


async def wrong_stream(stream: HandmadeStream) -> None:
    config = {**stream_config(LedgerNames()), "max_msgs": 10, "allow_atomic": False}
    await stream._ask("$JS.API.STREAM.CREATE.BRIDGE", config)


async def test_what_may_not_be_made_must_be_there(server: NatsServer, vendor: PlayedVendor, tmp_path: Path) -> None:
    """With `manage = "verify"` a missing stream is a failure: 78."""
    found = await checks(Setup(tmp_path, vendor, nats=f'url = "{server.url}"\nmanage = "verify"'), 78)
    assert failing(found) == ["stream BRIDGE", "stream KV_bridge-state", "stream KV_bridge-leases"]
    assert "nats.manage" in found["stream BRIDGE"]["says"]


async def test_missing_permissions_are_all_named(vendor: PlayedVendor, tmp_path: Path) -> None:
    """Exit 77; every subject the daemon would be refused, also those it would need last."""
    deny = '["bridge.cursor.>", "bridge.owner.*", "$KV.>", "$JS.API.CONSUMER.CREATE.>"]'
    users = (
        f"authorization {{ users = [ {{ user: u, password: pw, permissions: {{ publish: {{ deny: {deny} }} }} }} ] }}"
    )
    async with nats_server(tmp_path, extra=users) as server:
        keys = f'url = "{server.url}"\nuser = "u"\npassword = {{ env = "NATS_PASSWORD" }}'
        found = await checks(Setup(tmp_path, vendor, nats=keys), 77, NATS_PASSWORD="pw")
    assert failing(found) == ["permissions"]
    assert found["permissions"]["details"] == [
        "publish on $JS.API.CONSUMER.CREATE.KV_bridge-state",
        "publish on bridge.cursor.acme.bridged-check",
        "publish on bridge.owner.acme",
        "publish on $KV.bridge-leases.acme",
    ]


async def test_jetstream_that_may_not_be_asked(vendor: PlayedVendor, tmp_path: Path) -> None:
    """It is not waited for, and the permissions are named: 77."""
    users = 'authorization { users = [ { user: u, password: pw, permissions: { publish: ["_INBOX.>"] } } ] }'
    async with nats_server(tmp_path, extra=users) as server:
        keys = f'url = "{server.url}"\nuser = "u"\npassword = {{ env = "NATS_PASSWORD" }}'
        found = await checks(Setup(tmp_path, vendor, nats=keys), 77, NATS_PASSWORD="pw")
    assert failing(found) == ["permissions"]
    assert "jetstream" not in found
    assert "publish on $JS.API.STREAM.INFO.BRIDGE" in found["permissions"]["details"]


async def test_nats_that_cannot_be_used(tmp_path: Path) -> None:
    """Nobody there 69, no JetStream 69, wrong password 77; the vendor is tried all the same."""
    setup = Setup(tmp_path, nats=f'url = "nats://127.0.0.1:{free_port()}"')
    found = await checks(setup, 69)
    assert failing(found) == ["nats", "acme: login"]
    assert "connection refused" in found["nats"]["says"]
    assert "refused the connection" in found["acme: login"]["says"]
    async with nats_server(tmp_path, jetstream=False) as bare:
        found = await checks(Setup(tmp_path, nats=f'url = "{bare.url}"', name="bare"), 69, give_up_s=PATIENT_S)
    assert "without JetStream" in found["jetstream"]["says"]
    users = "authorization { users = [ { user: u, password: right } ] }"
    async with nats_server(tmp_path, extra=users, name="locked") as locked:
        keys = f'url = "{locked.url}"\nuser = "u"\npassword = {{ env = "NATS_PASSWORD" }}'
        found = await checks(
            Setup(tmp_path, nats=keys, name="locked"), 77, give_up_s=PATIENT_S, NATS_PASSWORD="wrong-one"
        )
    assert "refuses user 'u'" in found["nats"]["says"]
    assert "wrong-one" not in str(found)


async def test_wrong_credentials_at_the_vendor(server: NatsServer, vendor: PlayedVendor, tmp_path: Path) -> None:
    """Exit 77; the keys of the configuration and where they come from are named, the values are not."""
    setup = Setup(tmp_path, vendor, nats=f'url = "{server.url}"')
    found = await checks(setup, 77, UT="pcv-user-somebody-else")
    assert failing(found) == ["acme: login"]
    assert "`user_token` (env UT)" in found["acme: login"]["says"]
    assert "somebody-else" not in str(found)


async def test_tls_problems_are_sentences(server: NatsServer, tmp_path: Path) -> None:
    """A certificate nobody knows: 69, at the vendor and at NATS."""
    (tmp_path / "ca").mkdir()
    certificate, key = Authority(tmp_path / "ca").issue("vendor", "127.0.0.1")

    async def never(_: web.Request) -> web.Response:
        raise AssertionError("nothing may be sent")

    async with serving(never, server_tls(certificate, key)) as port:
        setup = Setup(tmp_path, nats=f'url = "{server.url}"', http_url=f"https://127.0.0.1:{port}/graphql")
        found = await checks(setup, 69)
    assert failing(found) == ["acme: login"]
    assert "unknown authority" in found["acme: login"]["says"]
    tls = f'tls {{ cert_file: "{certificate}", key_file: "{key}" }}'
    async with nats_server(tmp_path, extra=tls, name="tls") as encrypted:
        url = encrypted.url.replace("nats://", "tls://")
        found = await checks(Setup(tmp_path, nats=f'url = "{url}"', name="tls"), 69, give_up_s=PATIENT_S)
    assert "certificate is not accepted" in found["nats"]["says"]


async def test_an_embedded_server_that_does_not_run(vendor: PlayedVendor, tmp_path: Path) -> None:
    """It is said, not started; that it could be is checked; nothing is made in the state directory."""
    setup = Setup(tmp_path, vendor, nats='url = "embedded"')
    found = await checks(setup, 0)
    assert "no embedded NATS server has been started" in found["nats"]["says"]
    assert found["nats-server"]["says"].endswith("nats-server")
    assert found["state_dir"]["says"] == f"{setup.state_dir} can be made"
    assert not setup.state_dir.exists()


def test_a_state_directory_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """77 where the user may not write, 78 where there is no directory."""
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    finding = check_embedded.writable(tmp_path / "state")
    assert (finding.ok, finding.exit) == (False, 77)
    assert str(tmp_path) in finding.says
    monkeypatch.undo()
    (tmp_path / "file").write_text("")
    finding = check_embedded.writable(tmp_path / "file" / "state")
    assert (finding.ok, finding.exit) == (False, 78)


async def test_a_running_embedded_server_is_looked_at(vendor: PlayedVendor, tmp_path: Path) -> None:
    """With the daemon up, its stream is verified."""
    setup = Setup(tmp_path, vendor, nats='url = "embedded"')
    daemon = setup.daemon()
    daemon.start()
    try:
        await wait_until(lambda: daemon.said("source.live"), what="the source to be live")
        found = await checks(setup, 0)
        assert await daemon.terminate() == 0
    finally:
        daemon.close()
    assert "is what it must be" in found["stream BRIDGE"]["says"]
    assert "is what it must be" in found["stream KV_bridge-state"]["says"]


# --- the live session ------------------------------------------------------------------------------------------


def listening(server: NatsServer, vendor: PlayedVendor, folder: Path, tables: str = SUBSCRIPTIONS) -> Setup:
    setup = Setup(folder, vendor, nats=f'url = "{server.url}"', ws_settle_s=0.3)
    setup.write(tables)
    return setup


async def test_the_live_session_is_really_opened(server: NatsServer, vendor: PlayedVendor, tmp_path: Path) -> None:
    """Everything is subscribed to over the sub-protocol configured, and given up again; nothing is stored."""
    setup = listening(server, vendor, tmp_path)
    before = await vendor.counters()
    found = await checks(setup, 0)
    assert list(found)[-3:] == ["acme: subscription online-state-changed", "acme: live session", "acme: budget"]
    count = len(vendor.facts["companies"]) * 3
    assert found["acme: live session"]["says"] == f"{count} subscriptions held over graphql-ws"
    counters = await vendor.counters()
    assert counters["sockets_opened"] - before.get("sockets_opened", 0) == 1
    assert counters.get("subscriptions", 0) == 0
    assert await everything(server) == {}
    setup.text += 'ws_subprotocol = "graphql-transport-ws"\n'
    setup.write(SUBSCRIPTIONS)
    found = await checks(setup, 0)
    assert found["acme: live session"]["says"].endswith("held over graphql-transport-ws")


async def test_a_refused_upgrade(server: NatsServer, vendor: PlayedVendor, tmp_path: Path) -> None:
    """401 is exit 77, a fault of the vendor's 69; what is read is checked all the same."""
    setup = listening(server, vendor, tmp_path)
    for status, code in ((401, 77), (503, 69)):
        await vendor.call("POST", "faults", {"kind": "upgrade_refused", "status": status, "times": 1})
        found = await checks(setup, code)
        assert failing(found) == ["acme: live session"]
        assert f"answered with HTTP status {status}" in found["acme: live session"]["says"]
        assert found["acme: live session"]["exit"] == code


async def test_a_live_session_is_tried_where_nothing_can_be_read(
    server: NatsServer, vendor: PlayedVendor, tmp_path: Path
) -> None:
    """A page that fails says nothing of what is pushed."""
    await vendor.call("POST", "faults", {"kind": "failure", "on": "page", "error": "AccessDenied", "times": None})
    found = await checks(listening(server, vendor, tmp_path), 77)
    assert failing(found) == ["acme: first page"]
    assert "held over graphql-ws" in found["acme: live session"]["says"]


async def test_an_invalid_subscription(server: NatsServer, vendor: PlayedVendor, tmp_path: Path) -> None:
    """It is named with the vendor's words, among others that are held or alone; no secret is shown."""
    tables = SUBSCRIPTIONS.replace("computerId online changedAt }", "computerId online changedAt nonesuch }")
    setup = listening(server, vendor, tmp_path, tables)
    found = await checks(setup, 78)
    live = found["acme: live session"]
    companies = sorted(vendor.facts["companies"])
    assert live["says"] == f"the vendor refuses {len(companies)} of {len(companies) * 3} subscriptions:"
    assert [line.split(": ")[0] for line in live["details"]] == [f"online-state-changed.{one}" for one in companies]
    assert all("the vendor's schema does not fit" in line for line in live["details"])
    assert live["exit"] == 77
    alone = tables[tables.index('[[source.subscription]]\nname = "online-state-changed"') :]
    setup.write(alone)
    live = (await checks(setup, 78))["acme: live session"]
    assert "every operation is refused" in live["says"]
    assert live["details"][0].startswith(f"online-state-changed.{companies[0]}: ")
    assert not any(secret in str(live) for secret in vendor.secrets)


async def test_a_check_that_took_too_long_says_how_long_the_quota_waits() -> None:
    """By what the budget knows: spent by others, refused by the vendor, or neither."""
    assert "is slow" in _slow(Quota(Limit(1, 60.0, 1)))
    spent = Quota(Limit(1, 60.0, 1))
    await spent.take()
    assert _slow(spent) == (
        "no result within 60 s: the quota is spent; the next request may go in 60 s: try again then"
    )
    refused = Quota(Limit(1, 60.0, 1))
    refused.throttled(Throttled("no", after=500.0))
    assert _slow(refused) == (
        "no result within 60 s: the vendor refused 1 times for quota; the next request may go in 500 s: try again then"
    )
