"""`bridged reload`: what each instance says of it, and what a script may conclude."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.command import Setup
from tests.support.inside import inside
from tests.support.nats_server import NatsServer, nats_server
from tests.support.played_instance import played_instance, reloaded

pytestmark = pytest.mark.anyio

CHANGED = reloaded(
    text="sources: 1 added, 1 removed, 1 changed, 2 as before; a restart is needed for nats.url",
    added=["new\x1b[2J"], removed=["old"], changed={"acme": ["companies", "user_token"]}, unchanged=["a", "b"],
    alerts=False, restart=["nats.url"],
)  # fmt: skip
REFUSED = reloaded(False, "2 problems", errors=["b.toml:7: source.x: unknown key", "b.toml:9: no such file"])


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with nats_server(tmp_path, jetstream=False) as server:
        yield server


async def test_all_agree(server: NatsServer, tmp_path: Path) -> None:
    """Each says what changed; the exit code is 0. `--instance` asks one alone, and both of one name."""
    setup = Setup(tmp_path, nats=f'url = "{server.url}"')
    async with (
        played_instance(server.url, "north", reload=CHANGED) as north,
        played_instance(server.url, "south", reload=reloaded()) as south,
        played_instance(server.url, "south", reload=reloaded(), id_="another") as twin,
    ):
        done = await inside(setup, "reload")
        assert (north, south, twin) == (["reload"], ["reload"], ["reload"])
        one = await inside(setup, "reload", "--instance", "south", "--json")
        assert (north, south, twin) == (["reload"], ["reload"] * 2, ["reload"] * 2)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        "  instance north (h, pid 7, build 0.1.0): sources: 1 added, 1 removed, 1 changed, 2 as before; "
        "a restart is needed for nats.url",
        "    added      new\N{REPLACEMENT CHARACTER}[2J",
        "    removed    old",
        "    changed    acme: companies, user_token",
        "    as before  a, b",
        "    RESTART    needed for nats.url",
        "  instance south (h, pid 7, build 0.1.0): nothing has changed",
        "  instance south (h, pid 7, build 0.1.0): nothing has changed",
    ]
    assert one.code == 0
    assert one.json == {
        "ok": True,
        "instances": [
            {"name": "south", "host": "h", "pid": 7, "build": "0.1.0", "ok": True, "text": "nothing has changed",
             "details": {}}
        ] * 2,
    }  # fmt: skip


async def test_one_refuses(server: NatsServer, tmp_path: Path) -> None:
    """Its file's own lines are shown, and the exit code is 78, whatever the others say."""
    setup = Setup(tmp_path, nats=f'url = "{server.url}"')
    async with (
        played_instance(server.url, "north", reload=CHANGED),
        played_instance(server.url, "south", reload=REFUSED),
        played_instance(server.url, "west"),
    ):
        done = await inside(setup, "reload")
        told = await inside(setup, "reload", "--json")
    assert (done.code, told.code) == (78, 78)
    assert done.out.splitlines()[-4:] == [
        "! instance south (h, pid 7, build 0.1.0) refused it and goes on as before: 2 problems",
        "  b.toml:7: source.x: unknown key",
        "  b.toml:9: no such file",
        "! instance west (h, pid 7, build 0.1.0) did not say: no answer within 0.05 s",
    ]
    assert [one["ok"] for one in told.json["instances"]] == [True, False, None]
    assert told.json["instances"][1]["details"]["errors"][0] == "b.toml:7: source.x: unknown key"
    assert told.json["ok"] is False


async def test_nobody_answers(server: NatsServer, tmp_path: Path) -> None:
    """69 where nobody runs, or nobody of that name; 75 where one runs and does not answer, or answers nonsense."""
    setup = Setup(tmp_path, nats=f'url = "{server.url}"')
    done = await inside(setup, "reload")
    assert (done.code, done.out) == (69, "")
    assert done.err == f"bridged: no instance answers at 127.0.0.1:{server.port}: is `bridged run` running there?\n"
    async with played_instance(server.url, "west"):
        other = await inside(setup, "reload", "--instance", "east", "--json")
        silent = await inside(setup, "reload")
    assert (other.code, other.json) == (69, {"ok": False, "instances": []})
    assert "no instance east answers" in other.err
    assert (silent.code, "did not say" in silent.out) == (75, True)
    async with played_instance(server.url, "odd", reload={"ok": "yes"}):
        odd = await inside(setup, "reload")
    assert (odd.code, "its answer cannot be read" in odd.out) == (75, True)
    await server.kill()
    away = await inside(setup, "reload", give_up_s=1.0)
    assert (away.code, away.out) == (69, "")


async def test_a_consumer_cannot_have_anything_loaded(tmp_path: Path) -> None:
    """Without rights on `bridge.>`: 77, and the daemon is not even asked. The right to find it is not the right to."""
    finder = {"publish": {"allow": ["$SRV.>"]}, "subscribe": {"allow": ["_INBOX.>"]}}
    users = [
        {"user": "admin", "password": "p"},
        {"user": "finder", "password": "p", "permissions": finder},
        {"user": "consumer", "password": "p", "permissions": {**finder, "publish": {"allow": ["$JS.API.>"]}}},
    ]
    extra = f"accounts: {json.dumps({'APP': {'users': users}})}"
    async with nats_server(tmp_path, extra=extra, jetstream=False) as server:
        admin = server.url.replace("://", "://admin:p@")
        told = []
        async with played_instance(admin, "north", reload=CHANGED) as asked:
            for user in ("finder", "consumer", "admin"):
                nats = f'url = "{server.url}"\nuser = "{user}"\npassword = {{ env = "P" }}'
                told.append(await inside(Setup(tmp_path, nats=nats, name=user), "reload", environ={"P": "p"}))
                assert asked == (["reload"] if user == "admin" else [])
    assert [(one.code, one.err) for one in told] == [
        (77, "bridged: NATS denies this user publish on bridge.srv.north.reload; grant it and ask again\n"),
        (77, "bridged: NATS denies this user publish on $SRV.INFO.bridged; grant it and ask again\n"),
        (0, ""),
    ]
