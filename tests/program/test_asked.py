"""The real daemon asked over NATS, under accounts that may do no more than is documented."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bridge.edge.ledger.permissions import operator_permissions, permissions
from bridge.edge.ledger.shape import LedgerNames
from tests.support.command import Setup
from tests.support.inside import inside
from tests.support.nats_server import nats_server
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(400)]

ALLOWED = permissions(LedgerNames(), services=True)

SECOND = """\
[[source]]
name = "second"
adapter = "pcvisit"
http_url = "http://127.0.0.1:9/graphql"
integrator_token = { env = "IT" }
user_token = { env = "UT" }
"""


def accounts(bridge: dict[str, Any]) -> str:
    users = [
        {"user": "bridge", "password": "p", "permissions": bridge},
        {"user": "operator", "password": "p", "permissions": operator_permissions()},
        {"user": "consumer", "password": "p", "permissions": {
            "publish": {"allow": ["$JS.API.STREAM.INFO.>", "$JS.API.STREAM.MSG.GET.>", "$JS.API.DIRECT.GET.>"]},
            "subscribe": {"allow": ["_INBOX.>"]},
        }},
    ]  # fmt: skip
    return f"accounts: {json.dumps({'APP': {'jetstream': 'enabled', 'users': users}})}"


def setup(folder: Path, url: str, user: str) -> Setup:
    found = Setup(folder, nats=f'url = "{url}"\nuser = "{user}"\npassword = {{ env = "P" }}', name=user)
    found.environ["P"] = "p"
    if user == "bridge":
        found.text = found.text.replace("[daemon]\n", '[daemon]\ninstance = "büro.1"\n', 1)
        found.write()
    return found


async def test_asked_and_told_to_reload_under_accounts(tmp_path: Path) -> None:
    """Without the permissions to be asked it says once which are missing, and runs on; granted, it is found. Then an
    operator with nothing but the listed rights sees and reloads it; a consumer of the stream sees the stream."""
    async with nats_server(tmp_path, extra=accounts(permissions(LedgerNames()))) as server:
        bridge, operator, consumer = (setup(tmp_path, server.url, user) for user in ("bridge", "operator", "consumer"))
        daemon = bridge.daemon()
        daemon.start()
        try:
            # The server's refusals may come in two parts, and then it is said twice.
            await wait_until(
                lambda: any(len(line["subscribe"]) == 11 for line in daemon.said("micro.denied")), what=daemon.tail()
            )
            await wait_until(lambda: daemon.said("bridged.started"), what=daemon.tail())
            line = daemon.said("micro.denied")[-1]
            assert line["subscribe"][-2:] == ["bridge.srv.*.reload", "bridge.srv.*.status"]
            assert len(line["subscribe"]) == 11
            assert (await inside(operator, "reload")).code == 69
            denied = len(daemon.said("micro.denied"))

            await server.kill()
            server.configure(accounts(ALLOWED))
            await server.start()
            await wait_until(lambda: len(daemon.said("nats.connected")) == 2, what=daemon.tail())
            done = await inside(operator, "reload")
            assert (done.code, "nothing has changed" in done.out) == (0, True), done.err
            seen = await inside(operator, "status", "--json")
            assert seen.code == 0, seen.err + daemon.tail()
            (instance,) = seen.json["instances"]
            assert (instance["name"], instance["pid"]) == ("büro.1", daemon.pid)
            assert (instance["phase"], instance["problem"]) == ("ready", None)
            (acme,) = seen.json["sources"]
            assert (acme["name"], acme["told_by"], acme["here"]) == ("acme", ["büro.1"], True)
            assert acme["state"] in ("opening", "connecting", "waiting")
            bridge.write(SECOND)
            done = await inside(operator, "reload", "--json")
            assert done.code == 0, done.err
            (told,) = done.json["instances"]
            assert (told["details"]["added"], told["details"]["unchanged"]) == (["second"], ["acme"])
            names = [one["name"] for one in (await inside(operator, "status", "--json")).json["sources"]]
            assert names == ["acme", "second"]
            bridge.write("\n[nonsense]\n")
            refused = await inside(operator, "reload", "--instance", "büro.1")
            assert refused.code == 78
            number = 1 + bridge.path.read_text().splitlines().index("[nonsense]")
            assert "refused it and goes on as before" in refused.out
            assert f"{bridge.path}:{number}: " in refused.out
            bridge.write(SECOND)
            before = len(daemon.lines())
            stranger = await inside(consumer, "reload")
            assert stranger.code == 77
            assert "denies this user publish on $SRV.INFO.bridged" in stranger.err
            assert [line["event"] for line in daemon.lines()[before:] if "reload" in line["event"]] == []
            seen = await inside(consumer, "status", "--json")
            assert (seen.code, seen.json["instances"], seen.json["sources"][0]["told_by"]) == (0, [], [])
            assert len(daemon.said("micro.denied")) == denied
            assert daemon.said("nats.denied") == []
            assert await daemon.terminate() == 0
        finally:
            daemon.close()
