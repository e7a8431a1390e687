"""What this instance answers as a NATS micro service: how it is, and how a reload went."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Never

import anyio

from bridge.core.errors import BridgeError
from bridge.core.micro import PART_BYTES, Identity, parts, semantic
from bridge.edge.codec import encode
from bridge.edge.micro import Endpoint, MicroService

if TYPE_CHECKING:
    from bridge.cli.daemon import Daemon
    from bridge.core.reload import ReloadResult

Json = dict[str, Any]
Report = Callable[[], Awaitable[Mapping[str, Any]]]
"""The report, as `bridge.core.report.contract.Report` says."""

STATUS_S = 8.0
"""How long a report may take, in seconds."""
RELOAD_S = 120.0
"""How long a reload may take until who asked for it is told that it is still under way."""
MOST_LINES = 200
"""So many lines about what is wrong with a configuration are sent, and so many names of what is as before."""
_HEADERS = 4096
"""What is left of a message for its headers and subject."""


class TooLarge(BridgeError):
    """An answer that does not fit the server's messages, however short it is made."""


class Reloads:
    """Carries out the reloads that are asked for over NATS; who asks may lose patience, or be cut off, without harm.

    A reload that is cancelled half-way would leave half a configuration.
    """

    def __init__(self, reload: Callable[[], Awaitable[ReloadResult]]) -> None:
        self._reload = reload
        self._waiting: list[_Asked] = []
        self._news = anyio.Event()

    async def run(self) -> Never:
        """One after the other, until cancelled. Those that are asked for while one is under way are one."""
        while True:
            await self._news.wait()
            self._news = anyio.Event()
            asked, self._waiting = self._waiting, []
            result = await self._reload()
            for one in asked:
                one.result = result
                one.done.set()

    async def ask(self) -> ReloadResult:
        """Have the configuration loaded anew, and wait until it is; the deadline is the caller's."""
        asked = _Asked()
        self._waiting.append(asked)
        self._news.set()
        await asked.done.wait()
        assert asked.result is not None
        return asked.result


@dataclass(slots=True)
class _Asked:
    done: anyio.Event = field(default_factory=anyio.Event)
    result: ReloadResult | None = None


async def answer(daemon: Daemon, report: Report, headline: Callable[[], str], reloads: Reloads) -> Never:
    """Answer PING, INFO, STATS, `status` and `reload` until cancelled. Statistics carry the headline."""
    me = daemon.tenant
    metadata = {"instance": me.instance, "host": me.host, "pid": str(me.pid), "build": me.build}
    identity = Identity(me.boot, me.instance, semantic(me.build), metadata, daemon.since_ms)

    def room() -> int:
        most = daemon.connection.info.get("max_payload", PART_BYTES)
        return min(PART_BYTES, int(most) - _HEADERS)

    async def status() -> Sequence[bytes]:
        if found := parts(await report(), room(), encode):
            return found
        raise TooLarge("the report does not fit the server's messages (max_payload)")

    async def reload() -> Sequence[bytes]:
        return [told(await reloads.ask(), room())]

    endpoints = (
        Endpoint("status", status, STATUS_S, lambda: {"headline": headline(), "ready": daemon.readiness.ready}),
        Endpoint("reload", reload, RELOAD_S),
    )
    await MicroService(daemon.connection, identity, endpoints).run()


def told(result: ReloadResult, room: int) -> bytes:
    """How a reload went, as JSON of at most `room` bytes: long lists are cut, and then left out."""
    details = dict(result.details)
    for most in (MOST_LINES, 10, 0):
        cut = {key: _cut(value, most) for key, value in details.items()}
        text = encode({"ok": result.ok, "text": result.text, "details": cut})
        if len(text) <= room:
            return text
    raise TooLarge("how the reload went does not fit the server's messages (max_payload): see the log")


def _cut(value: Any, most: int) -> Any:
    if isinstance(value, list) and len(value) > most:
        return [*value[:most], f"… and {len(value) - most:,} more"]
    if isinstance(value, dict) and len(value) > most:
        names = list(value)
        return {**{name: value[name] for name in names[:most]}, f"… and {len(names) - most:,} more": []}
    return value
