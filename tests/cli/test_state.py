"""`bridged state`: what is asked for, what is shown, whole and as a table, and what it says when there is nothing."""

from __future__ import annotations

import argparse
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.cli import visit
from bridge.cli.state import wanted
from tests.support.command import Setup
from tests.support.handmade import HandmadeStream, handmade_stream
from tests.support.inside import inside
from tests.support.nats_server import NatsServer, nats_server
from tests.support.program import Child
from tests.support.terminal import on_terminal, without_colour
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

ESCAPE = "\x1b[2J\x9b31m\u202eevil\x07\x7f"
VIEW = "$JS.API.STREAM.INFO.KV_bridge-state"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with nats_server(tmp_path) as server:
        yield server


@pytest.fixture
async def stream(server: NatsServer) -> AsyncIterator[HandmadeStream]:
    async with handmade_stream(server.url) as stream:
        await stream.make()
        await stream.make_view()
        yield stream


@pytest.fixture
def setup(tmp_path: Path, server: NatsServer) -> Setup:
    return Setup(tmp_path, nats=f'url = "{server.url}"')


async def seen_by_the_view(stream: HandmadeStream, last: int) -> None:
    """Returns once the view was made up to this sequence of its own."""

    async def caught_up() -> bool:
        answer = await stream.client.request(VIEW, b"", timeout=30)
        return bool(json.loads(answer.data)["state"]["last_seq"] >= last)

    await wait_until(caught_up, what="the view")


@pytest.mark.parametrize(
    ("text", "keys", "one"),
    [
        ("pcvisit.acme.session", ["pcvisit.acme.session.>"], False),
        ("pcvisit.acme.session.*", ["pcvisit.acme.session.*"], False),
        ("pcvisit.acme.session.>", ["pcvisit.acme.session.*"], False),
        ("pcvisit", ["pcvisit.>"], False),
        (">", [">"], False),
        ("*.acme.>", ["*.acme.>"], False),
        ("pcvisit.acme.session.4711", ["pcvisit.acme.session.4711"], True),
        ("*.*.session.4711", ["*.*.session.4711"], False),
        ("pcvisit.acme.contact.a@b.example", ["pcvisit.acme.contact.a=40b=2Eexample"], True),
        ("v.s.e.K=C3=B6ln", ["v.s.e.K=C3=B6ln", "v.s.e.K=3DC3=3DB6ln"], True),
        ("v.s.e.Köln*", ["v.s.e.K=C3=B6ln=2A"], True),
        ("v.s.two words.=", ["v.s.two=20words.=", "v.s.two=20words.=3D"], True),
    ],
)
def test_what_is_asked_for(text: str, keys: list[str], one: bool) -> None:
    """Plain text becomes tokens, tokens stay; a text that is both is looked for in both readings."""
    assert (list(wanted(text).keys), wanted(text).one) == (keys, one)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the vendor is empty"),
        ("pcvisit..session", "the source is empty"),
        ("pcvisit.acme.", "the entity is empty"),
        ("pcvisit.acme.session.", "the id is empty"),
        ("pcvisit.ac*", "* stands alone"),
        ("pcvisit.>.session", "> comes last"),
        ("events.pcvisit.acme.session.updated.1", "without events."),
    ],
)
def test_what_is_no_entity(text: str, says: str) -> None:
    """A sentence says why."""
    with pytest.raises(argparse.ArgumentTypeError) as refused:
        wanted(text)
    assert says in str(refused.value)


async def test_a_table_and_lines(stream: HandmadeStream, setup: Setup) -> None:
    """Each entity once, as it is now, in the order of its last change; deleted ones and what occurred are not there."""
    for n in range(3):
        await stream.whole(f"acme.a.thing.created.{n}", {"state": "new", "n": n})
    await stream.whole("acme.a.thing.updated.0", {"state": "old", "n": 0})
    await stream.whole("acme.a.other.created.9", {"n": 9})
    await stream.whole("acme.a.thing.deleted.2", None)
    await stream.whole("acme.a.beep.occurred.1", {"n": 1})
    await stream.structured("acme.a.thing.created.5", {"state": "one document"})
    await seen_by_the_view(stream, 7)

    done = await inside(setup, "state", "acme.a.thing", "--json")
    found = [json.loads(text) for text in done.out.splitlines()]
    assert (done.code, done.err) == (0, "")
    assert [(one["id"], one["change"], one["after"]["state"], one["seq"]) for one in found] == [
        ("1", "created", "new", 2),
        ("0", "updated", "old", 4),
        ("5", "created", "one document", 8),
    ]
    assert found[0]["key"] == "acme.a.thing.1"
    assert found[0]["time"] == found[0]["observed"] == "2023-11-14T22:13:20.000Z"
    assert set(found[0]) == {
        "key", "vendor", "source", "entity", "id", "change", "deleted", "seq", "ce_id", "time", "observed", "version",
        "after",
    }  # fmt: skip

    done = await inside(setup, "state", "acme.a.thing")
    assert [text.split("  ", 1)[1] for text in done.out.splitlines()] == [
        "1  state: new, n: 1",
        "0  state: old, n: 0",
        "5  state: one document",
    ]
    assert done.err == "3 entities; 1 deleted, which --deleted shows\n"

    done = await inside(setup, "state", "*.a.*", "--deleted")
    assert "acme/a other  9  n: 9" in done.out
    assert "acme/a thing  2  deleted" in done.out
    assert "beep" not in done.out
    assert done.err == "5 entities\n"


async def test_one_whole(stream: HandmadeStream, setup: Setup) -> None:
    """With an id: what is known of the event, then `after` as it is, and nothing in it can steer a terminal."""
    await stream.whole("acme.a.thing.created.K=C3=B6ln", {"name": ESCAPE, "deep": {"list": [1, "ü"]}}, version="7")
    await seen_by_the_view(stream, 1)
    for name in ("acme.a.thing.Köln", "acme.a.thing.K=C3=B6ln"):
        done = await inside(setup, "state", name)
        assert (done.code, done.err) == (0, "")
        head, facts, body = done.out.split("\n", 2)
        assert head == "acme/a thing Köln"
        assert facts == ("created 2023-11-14T22:13:20.000Z, seen 2023-11-14T22:13:20.000Z (live), event 1, version 7")
        assert json.loads(body) == {"name": ESCAPE, "deep": {"list": [1, "ü"]}}
        assert all(text.isprintable() for text in done.out.splitlines())
    done = await inside(setup, "state", "acme.a.thing.Köln", "--json")
    assert done.json["after"]["name"] == ESCAPE
    assert done.out.rstrip("\n").isprintable()


async def test_nothing_there(stream: HandmadeStream, setup: Setup) -> None:
    """Exit 1 and a sentence, which tells what was deleted from what never was."""
    await stream.whole("acme.a.thing.created.1", {})
    await stream.whole("acme.a.thing.deleted.1", None)
    await seen_by_the_view(stream, 2)
    done = await inside(setup, "state", "acme.a.thing.2")
    assert (done.code, done.out) == (1, "")
    assert "the view holds no such entity: check its spelling" in done.err
    done = await inside(setup, "state", "acme.a.thing.1", "--json")
    assert (done.code, done.out) == (1, "")
    assert "it was deleted: --deleted shows that" in done.err
    done = await inside(setup, "state", "acme.a.thing.1", "--deleted")
    assert (done.code, done.out.splitlines()[2:]) == (0, ["null"])
    done = await inside(setup, "state", "acme.a.thing")
    assert (done.code, done.err) == (1, "bridged: the view holds only 1 deleted, which --deleted shows\n")
    done = await inside(setup, "state", "nobody")
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert "nothing of that kind" in done.err
    done = await inside(setup, "state", "a..b")
    assert (done.code, done.out) == (64, "")


async def test_many_are_read_by_the_portion_and_nothing_is_left_behind(stream: HandmadeStream, setup: Setup) -> None:
    """More than two portions come, each entity once; the server has no consumer afterwards; strangers are counted."""
    for n in range(600):
        await stream.whole(f"acme.a.thing.snapshot.{n}", {"n": n})
    await stream.put("in.acme.a.thing.created.stranger", {"no": "event"})
    await seen_by_the_view(stream, 601)
    done = await inside(setup, "state", "acme", "--json")
    assert [json.loads(text)["id"] for text in done.out.splitlines()] == [str(n) for n in range(600)]
    assert done.err == "bridged: 1 of the view's entries cannot be read and are left out\n"
    info = json.loads((await stream.client.request(VIEW, b"", timeout=30)).data)
    assert info["state"]["consumer_count"] == 0


async def test_it_follows_changes(server: NatsServer, stream: HandmadeStream, setup: Setup) -> None:
    """`--watch`: first what is there, then each change, deletions too, also after NATS was away."""
    await stream.whole("acme.a.thing.created.1", {"n": 1})
    await seen_by_the_view(stream, 1)
    arguments = ["state", "acme.a.thing", "--watch", "--json", "--config", str(setup.path)]
    child = Child(setup.folder, "state", arguments, setup.environ)
    child.start()
    try:
        await wait_until(lambda: child.out().count("\n") == 1, what="what is there")
        await stream.whole("acme.a.thing.updated.1", {"n": 2})
        await wait_until(lambda: child.out().count("\n") == 2, what=f"the change: {child.text()}")
        await stream.whole("acme.a.thing.deleted.1", None)
        await wait_until(lambda: child.out().count("\n") == 3, what="the deletion")
        await server.restart()
        await wait_until(lambda: stream.client.is_connected, what="our own connection")
        await stream.whole("acme.a.thing.created.2", {"n": 3})
        await wait_until(lambda: child.out().count("\n") == 4, what=f"the news: {child.text()}")
    finally:
        child.close()
    found = [json.loads(text) for text in child.out().splitlines()]
    assert [one["change"] for one in found] == ["created", "updated", "deleted", "created"]


async def test_it_fits_a_terminal(stream: HandmadeStream, setup: Setup) -> None:
    """At 80 columns each entity is one line: long ids keep their ends, what is too long is cut."""
    await stream.whole(f"acme.a.thing.created.{'0123456789' * 4}", {"text": "x" * 300, "name": ESCAPE})
    await stream.whole("acme.a.thing.created.1", {"n": 1})
    await seen_by_the_view(stream, 2)
    code, screen = await on_terminal("state", "acme.a.thing", "--config", str(setup.path), environ=setup.environ)
    first, second, last = without_colour(screen)
    assert (code, len(first)) == (0, 80)
    assert "  0123456789…123456789  text: xxx" in first
    assert first.endswith("…")
    assert second.rstrip().endswith("1                     n: 1")
    assert last == "2 entities"
    assert ESCAPE not in screen


async def test_nothing_to_read_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No view, no server, no permission: each a sentence and its exit code."""
    deny = 'permissions: { publish: { deny: ["$JS.API.DIRECT.GET.KV_bridge-state"] } }'
    users = f"authorization {{ users = [ {{ user: root, password: pw }}, {{ user: eye, password: pw, {deny} }} ] }}"
    async with nats_server(tmp_path, extra=users) as server:
        keys = f'url = "{server.url}"\nuser = "%s"\npassword = {{ env = "NATS_PASSWORD" }}'
        setup, root = (Setup(tmp_path, nats=keys % user, name=user) for user in ("eye", "root"))
        monkeypatch.setenv("NATS_PASSWORD", "pw")
        done = await inside(root, "state", "acme")
        assert (done.code, done.out) == (69, "")
        assert "stream KV_bridge-state does not exist yet: start `bridged run`" in done.err
        async with handmade_stream(server.url, user="root", password="pw") as stream:
            await stream.make()
            await stream.make_view()
        done = await inside(setup, "state", "acme.a.thing.1")
        assert (done.code, done.out) == (77, "")
        assert "denies this user publish on $JS.API.DIRECT.GET.KV_bridge-state; grant it" in done.err
    monkeypatch.setattr(visit, "GIVE_UP_AFTER_S", 1.0)
    done = await inside(setup, "state", "acme")
    assert (done.code, done.out) == (69, "")
