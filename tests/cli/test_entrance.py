"""Where webhooks come in: opened, adjusted, moved and closed, while requests are under way."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import anyio
import pytest

from bridge.cli.entrance import Entrance
from bridge.core.config import IngressSettings, IngressTlsSettings
from bridge.edge.ingress.trouble import CannotListen, IngressMisconfigured
from bridge.edge.listener import Listener
from bridge.engine.hooks import Hooks
from bridge.engine.ports import Incoming, Reply
from tests.support.certificates import Authority
from tests.support.knocking import Desk, Knocker, knocking, post
from tests.support.nats_server import free_port
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio


class House(Desk):
    """Stands for `Hooks`: all that an entrance asks of them."""

    doors: dict[str, object] = {}  # noqa: RUF012 - never changed


@asynccontextmanager
async def held(entrance: Entrance) -> AsyncIterator[None]:
    """The entrance is held while the block runs."""
    async with anyio.create_task_group() as group:
        await group.start(entrance.hold)
        yield
        group.cancel_scope.cancel()


def on(port: int, **more: Any) -> IngressSettings:
    return IngressSettings(listen=f"127.0.0.1:{port}", **more)


def house(**given: Any) -> Hooks:
    return cast(Hooks, House(**given))


def listener(entrance: Entrance) -> Listener:
    assert entrance.listener is not None
    return entrance.listener


async def refused(port: int) -> bool:
    """Whether nobody listens there any more."""
    try:
        await (await anyio.connect_tcp("127.0.0.1", port)).aclose()
    except OSError:
        return True
    return False


async def status(client: Knocker) -> int:
    return (await client.ask(post())).status


async def test_where_the_address_stays_nobody_is_cut_off() -> None:
    """A connection that is open goes on, and new ones come in, by the new bounds."""
    entrance, hooks, port = Entrance(), house(), free_port()
    async with held(entrance):
        await entrance.adapt(on(port), hooks)
        before = listener(entrance)
        async with knocking(before) as client:
            assert await status(client) == 200
            await entrance.adapt(on(port, max_connections=1), hooks)
            assert listener(entrance) is before
            assert await status(client) == 200
            async with knocking(before) as other:
                assert await other.ended() == b""
            assert before.counts.refused == 1
            assert await status(client) == 200


async def test_where_it_moves_the_new_one_is_open_before_the_old_one_closes_and_requests_finish() -> None:
    """What is under way at the old place is answered; then it is closed."""
    go = anyio.Event()
    old, new = free_port(), free_port()

    async def reply(_: Incoming) -> Reply:
        await go.wait()
        return Reply(202)

    entrance, hooks = Entrance(), house(reply=reply)
    async with held(entrance):
        await entrance.adapt(on(old), hooks)
        async with knocking(listener(entrance)) as client:
            await client.send(post())
            await wait_until(lambda: cast(House, hooks).taken, what="the request to be taken")
            await entrance.adapt(on(new), hooks)
            assert listener(entrance).addresses == (f"127.0.0.1:{new}",)
            go.set()
            assert (await client.heard()).status == 202
        async with knocking(listener(entrance)) as client:
            assert await status(client) == 202
        await wait_until(lambda: refused(old), what="the old place to close")


async def test_a_place_that_is_taken_leaves_all_as_it_was() -> None:
    """So does one that is none, and a certificate that cannot be used."""
    entrance, hooks, port = Entrance(), house(), free_port()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        async with held(entrance):
            await entrance.adapt(on(port), hooks)
            before = listener(entrance)
            with pytest.raises(CannotListen):
                await entrance.adapt(on(other.getsockname()[1]), hooks)
            with pytest.raises(IngressMisconfigured):
                await entrance.adapt(on(port, max_connections=1, tls=IngressTlsSettings(cert="/no", key="/no")), hooks)
            assert listener(entrance) is before
            async with knocking(before) as one, knocking(before) as two:
                assert [await status(one), await status(two)] == [200, 200]


async def test_certificates_are_read_anew(tmp_path: Path) -> None:
    """Of the same names: who connects from then on is shown the new one, and who is connected goes on."""
    authority = Authority(tmp_path)
    trust = ssl.create_default_context(cafile=authority.path)
    cert, key = authority.issue("here", "localhost")
    settings = on(free_port(), tls=IngressTlsSettings(cert=str(cert), key=str(key)))
    entrance, hooks = Entrance(), house()

    def shown(client: Knocker) -> int:
        tls: ssl.SSLObject = client.writer.get_extra_info("ssl_object")
        return int((tls.getpeercert() or {})["serialNumber"], 16)  # type: ignore[arg-type]

    async with held(entrance):
        await entrance.adapt(settings, hooks)
        async with knocking(listener(entrance), trust) as old:
            first = shown(old)
            authority.issue("here", "localhost")
            await entrance.adapt(settings, hooks)
            async with knocking(listener(entrance), trust) as new:
                assert shown(new) != first
                assert [await status(old), await status(new)] == [200, 200]


async def test_closed_it_can_be_opened_again_at_the_same_place() -> None:
    """As when the last source that takes webhooks goes, and one comes again."""
    entrance, hooks, port = Entrance(), house(), free_port()
    async with held(entrance):
        await entrance.adapt(on(port), hooks)
        entrance.close()
        assert entrance.listener is None
        await wait_until(lambda: refused(port), what="it to close")
        await entrance.adapt(on(port), hooks)
        async with knocking(listener(entrance)) as client:
            assert await status(client) == 200
    assert entrance.listener is None
    assert await refused(port)


async def test_a_socket_that_was_handed_over_stays_whatever_the_address_says() -> None:
    """We listen on a copy, so it is there again the next time; another address takes a restart."""
    with socket.socket() as ours:
        ours.bind(("127.0.0.1", 0))
        ours.listen()
        ours.setblocking(False)
        port = ours.getsockname()[1]

        def handed() -> Sequence[socket.socket]:
            return [ours.dup()]

        entrance, hooks = Entrance(handed), house()
        async with held(entrance):
            assert not entrance.handed
            await entrance.adapt(on(free_port()), hooks)
            assert entrance.handed
            before = listener(entrance)
            await entrance.adapt(on(free_port()), hooks)
            assert listener(entrance) is before
            assert before.addresses == (f"127.0.0.1:{port}",)
            async with knocking(before) as client:
                assert await status(client) == 200
        assert ours.fileno() >= 0
