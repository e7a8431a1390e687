"""Current state read from the view of a real server: both content modes, strangers, and changes while it is read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.edge.ledger.layout import LedgerNames
from bridge.edge.operator.state import Entry, View
from bridge.edge.operator.tail import StreamMissing
from tests.support.handmade import HandmadeStream, handmade_stream
from tests.support.nats_server import nats_server
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio


@pytest.fixture
async def stream(tmp_path: Path) -> AsyncIterator[HandmadeStream]:
    async with nats_server(tmp_path) as server, handmade_stream(server.url) as stream:
        yield stream


async def read(view: View, keys: str = ">") -> list[Entry]:
    reading, found = view.reading(keys), list[Entry]()
    while more := await reading.take():
        found += more
    return found


async def settled(view: View, key: str, seq: int) -> None:
    async def there() -> bool:
        found = await view.named([key])
        return bool(found) and found[0].seq == seq

    await wait_until(there, what=f"{key} in the view")


async def test_entries(stream: HandmadeStream) -> None:
    """Each is the entity's last event with its sequence in the ledger's stream; a deleted one says so."""
    await stream.make()
    await stream.make_view()
    view = View(stream.client, LedgerNames())
    await stream.put("cursor.a.walk", {})
    await stream.whole("acme.a.thing.created.1", {"n": 1})
    await stream.whole("acme.a.thing.updated.1", {"n": 2})
    await stream.structured("acme.a.thing.created.K=C3=B6ln", {"n": 3})
    await stream.whole("acme.a.thing.deleted.1", None)
    await stream.put("in.acme.a.thing.created.9", {"stranger": True})
    await stream.whole("acme.b.thing.snapshot.1", {"n": 4})
    await settled(view, "acme.b.thing.1", 7)
    first, second, third = await read(view)
    assert (first.key, first.seq, first.deleted, first.event.id) == ("acme.a.thing.K=C3=B6ln", 4, False, "Köln")
    assert first.event.after == {"n": 3}
    assert (second.key, second.seq, second.deleted, second.event.change) == ("acme.a.thing.1", 5, True, "deleted")
    assert (third.key, third.event.source) == ("acme.b.thing.1", "b")
    assert view.unreadable == 1
    assert [entry.key for entry in await read(view, "*.a.thing.*")] == ["acme.a.thing.K=C3=B6ln", "acme.a.thing.1"]
    assert await view.named(["acme.a.thing.2"]) == []
    assert "Köln" not in repr(first) + repr(second)


async def test_what_changes_while_all_are_read_is_not_missed(stream: HandmadeStream) -> None:
    """An entity that moves to the view's end comes there, though it lay in what was not read yet."""
    await stream.make()
    await stream.make_view()
    view = View(stream.client, LedgerNames())
    for n in range(300):
        await stream.whole(f"acme.a.thing.created.{n}", {"n": 0})
    await settled(view, "acme.a.thing.299", 300)
    reading = view.reading("acme.>")
    found = await reading.take()
    assert len(found) == 256
    await stream.whole("acme.a.thing.updated.299", {"n": 1})
    await stream.whole("acme.a.thing.updated.0", {"n": 1})
    await settled(view, "acme.a.thing.0", 302)
    found += await reading.take()
    assert await reading.take() == []
    assert [entry.event.id for entry in found[256:]] == [*map(str, range(256, 299)), "299", "0"]
    assert [entry.event.after["n"] for entry in found[-2:]] == [1, 1]


async def test_no_view(stream: HandmadeStream) -> None:
    """A sentence, from both ways of asking."""
    view = View(stream.client, LedgerNames())
    with pytest.raises(StreamMissing, match="KV_bridge-state does not exist yet"):
        await view.named(["a.b.c.d"])
    with pytest.raises(StreamMissing, match="KV_bridge-state does not exist yet"):
        await view.reading(">").take()
