"""WebSockets by `websockets`: one TLS context for all, one sub-protocol, nothing followed, everything bounded."""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, cast
from urllib.parse import urlsplit

import anyio
import anyio.lowlevel
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidProxyStatus,
    InvalidStatus,
    ProxyError,
    WebSocketException,
)
from websockets.http11 import Response
from websockets.typing import Subprotocol

from bridge.core.ending import Ending, marked
from bridge.core.errors import Malformed, Refused, Retry
from bridge.core.record import Json
from bridge.core.session import Upgrade
from bridge.core.url import host_of, place, printable, problem
from bridge.edge.codec import decode, encode
from bridge.edge.outgoing import header_problem, revealed, tls, unreachable
from bridge.edge.websocket_wire import CLOSE_S, Connect, Wire
from bridge.engine.ports import Disconnected, UpgradeRefused

MIB = 1024 * 1024
QUEUE = 16
"""Frames that wait for us before we stop reading: the kernel's buffers, and then the peer, hold the rest."""
WRITE_LIMIT = 4096
"""Bytes. We send little: what does not leave is a peer that does not read."""
BREATH = 16
"""Frames taken in a row before other tasks get their turn: the library hands out what it has without waiting."""

_silent = logging.getLogger("bridge.edge.websocket")
# At debug level the library writes every header and frame, secrets included, into its log.
_silent.disabled = True


class WebSockets:
    """Implements `bridge.engine.ports.Sockets`. One object serves every session.

    `ca_file`: authorities (PEM) trusted beside the system's. `allow_plain`: let tokens travel unencrypted to hosts
    other than this machine. `agent` is how we introduce ourselves. Raises Refused when the CA file cannot be used.
    """

    def __init__(self, *, ca_file: str | None = None, allow_plain: bool = False, agent: str = "bridged") -> None:
        self._ca_file = ca_file
        self._tls = None if ca_file is None else tls(ca_file)
        self._allow_plain = allow_plain
        self._agent = agent

    @asynccontextmanager
    async def connect(self, session: Upgrade) -> AsyncIterator[WebSocket]:
        """Connect, with exactly the session's sub-protocol, or none, offered and agreed; closed when the block is left.

        Raises UpgradeRefused; Retry for everything that kept an answer from arriving (name, connection, TLS,
        time-out); Refused for what must not or cannot be tried: no URL, ws:// to another machine, a header value
        that is none, an unknown kind of proxy.
        """
        where = place(session.url)
        refused = (
            problem(session.url, plain="ws", secure="wss", allow_plain=self._allow_plain)
            or header_problem(session.headers)
            or _proxy_problem(session.proxy)
        )
        if refused:
            raise Refused(f"{where}: {refused}")
        outcome = await self._attempt(session)
        if isinstance(outcome, str):
            raise marked(Retry(f"{where}: {outcome}"), Ending.UNREACHABLE)
        if isinstance(outcome, UpgradeRefused):
            raise outcome
        socket = WebSocket(outcome)
        try:
            outcome.keep(session.ping_interval_s, session.ping_timeout_s)
            yield socket
        finally:
            await socket.close()

    async def _attempt(self, session: Upgrade) -> Wire | UpgradeRefused | str:
        """The open connection, the refusal, or why there was no answer.

        Returned, not raised: the library's exceptions, and these frames, hold the headers with the secrets
        revealed, and must not hang on an error that somebody prints with all its causes and variables.
        """
        made: list[Wire] = []
        wire: Wire | None = None
        try:
            with anyio.fail_after(session.connect_timeout_s):
                opened = await self._open(session, made)
            if opened.subprotocol != session.subprotocol:
                return _refused(opened.response, opened.subprotocol)
            opened.forget()
            wire = opened
        except TimeoutError:
            return f"no WebSocket within {session.connect_timeout_s:g} s; check the network, and the vendor"
        except InvalidStatus as error:
            return _refused(error.response)
        except (WebSocketException, OSError, ValueError) as error:
            answer = made[0].response if made else None
            agreed = "" if answer is None else ", ".join(answer.headers.get_all("Sec-WebSocket-Protocol"))
            if agreed and agreed != session.subprotocol and answer is not None and answer.status_code == 101:
                return _refused(answer, printable(agreed))
            return _explain(error, session)
        finally:
            if wire is None:
                for failed in made:
                    failed.drop()
        return wire

    def _secure(self) -> ssl.SSLContext:
        # Nobody needs authorities, nor their memory, who speaks to this machine alone.
        if self._tls is None:
            self._tls = tls(self._ca_file)
        return self._tls

    async def _open(self, session: Upgrade, made: list[Wire]) -> Wire:
        most = round(session.max_message_mb * MIB)

        def make(*args: Any, **options: Any) -> Wire:
            made.append(Wire(*args, **options))
            made[-1].most = most
            return made[-1]

        contexts: dict[str, Any] = {}
        if _scheme(session.url) == "wss":
            contexts["ssl"] = self._secure()
        if session.proxy is not None and _scheme(session.proxy) == "https":
            contexts["proxy_ssl"] = self._secure()
        wire = await Connect(
            session.url,
            subprotocols=None if session.subprotocol is None else [Subprotocol(session.subprotocol)],
            # An inflating context for each connection would cost more memory than all the rest of it.
            compression=None,
            additional_headers={name: revealed(value) for name, value in session.headers.items()},
            user_agent_header=self._agent,
            # Never what the environment says: a proxy is a decision of this session's configuration.
            proxy=session.proxy,
            # The one deadline for connecting is ours, and so are the pings.
            open_timeout=None,
            ping_interval=None,
            close_timeout=CLOSE_S,
            max_size=most,
            max_queue=QUEUE,
            write_limit=WRITE_LIMIT,
            logger=_silent,
            create_connection=cast(type[ClientConnection], make),
            **contexts,
        )
        assert isinstance(wire, Wire)
        return wire


class WebSocket:
    """Implements `bridge.engine.ports.Socket`. One task may receive while others send."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._taken = 0

    async def send(self, frame: Json) -> None:
        """Send one JSON text frame, `Secret` values revealed. Raises Disconnected; Retry for what cannot be spelled.

        Waits while the peer does not read: set a deadline.
        """
        await self._send(_spelled(frame))

    async def send_text(self, text: str, json: Json = None) -> None:
        """Send one text frame: `text`, then `json` unless it is None. As `send` otherwise."""
        data = b"" if json is None else _spelled(json)
        await self._send(None if data is None else text.encode() + data)

    def say(self, text: str) -> bool:
        """Send one text frame now. False: nothing was done, since something waits to be sent, or the peer is gone."""
        return self._wire.send_now(text.encode())

    async def _send(self, data: bytes | None) -> None:
        if data is None:
            raise Retry("a frame for the peer is no JSON in UTF-8, and was not sent")
        try:
            await self._wire.send(data, text=True)
        except ConnectionClosed as closed:
            gone = self._gone(closed)
        else:
            return
        raise gone

    async def receive(self) -> tuple[Json, int, str]:
        """Wait for one frame: decoded, its size in bytes, and why it is not JSON text ("" if it is).

        Raises Disconnected once everything that arrived before the end has been taken. Cancelling loses nothing.
        """
        return _read(await self.receive_raw())

    async def receive_raw(self) -> str | bytes:
        """Wait for one frame, as it came. As `receive` otherwise."""
        self._taken += 1
        if self._taken % BREATH == 0:
            await anyio.lowlevel.checkpoint()
        if (text := self._wire.at_hand()) is not None:
            return text
        try:
            return await self._wire.recv()
        except ConnectionClosed as closed:
            gone = self._gone(closed)
        raise gone

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close politely within a second, or cut the connection. Never raises; a second time does nothing."""
        with anyio.move_on_after(CLOSE_S, shield=True):
            # A code that may not be sent, or a transport that is gone: it is cut below, which is all we want.
            with suppress(WebSocketException, OSError, RuntimeError):
                await self._wire.close(code, reason.encode()[:120].decode(errors="ignore"))
        self._wire.drop()
        with anyio.move_on_after(CLOSE_S / 2, shield=True):
            await self._wire.wait_closed()

    def _gone(self, closed: ConnectionClosed) -> Disconnected:
        if self._wire.dead:
            return Disconnected(1006, self._wire.dead)
        received, sent = closed.rcvd, closed.sent
        if received is not None and (sent is None or closed.rcvd_then_sent):
            return Disconnected(received.code, received.reason)
        if sent is None:
            return Disconnected(1006, "the connection broke off")
        if sent.code == 1009:
            return Disconnected(1009)
        # Our own verdict on the peer's bytes is not the peer's word on ours, which the same code would mean.
        return Disconnected(1006, "the peer broke the rules of the protocol", self._wire.http)


def _spelled(frame: Json) -> bytes | None:
    """Its bytes; None where UTF-8 has no spelling for them (half of a surrogate pair). The error quotes the text."""
    try:
        return encode(revealed(frame))
    except ValueError:
        return None


def _read(message: str | bytes) -> tuple[Json, int, str]:
    if isinstance(message, bytes):
        return None, len(message), "a binary frame"
    data = message.encode()
    try:
        return decode(data), len(data), ""
    except Malformed as error:
        return None, len(data), str(error)


def _refused(response: Response | None, agreed: str | None = None) -> UpgradeRefused:
    found: dict[str, str] = {}
    for name, value in response.headers.raw_items() if response is not None else ():
        name = name.lower()
        found[name] = f"{found[name]}, {value}" if name in found else value
    return UpgradeRefused(response.status_code if response is not None else 101, found, agreed)


def _scheme(url: str) -> str:
    """In lower case, however it was written; "" for what is no URL."""
    try:
        return urlsplit(url).scheme
    except ValueError:
        return ""


def _proxy_problem(proxy: str | None) -> str:
    if proxy is None or (_scheme(proxy) in ("http", "https") and "://" in proxy and host_of(proxy)):
        return ""
    return "`ws_proxy` is not a URL of the form http://host:port"


def _explain(error: Exception, session: Upgrade) -> str:
    """What happened, and what to do. Never the exception's own text: that may quote URLs and headers."""
    host = host_of(session.proxy or session.url)
    if isinstance(error, InvalidProxyStatus):
        return f"the proxy {host} answered with HTTP status {error.response.status_code}; check `ws_proxy`"
    if isinstance(error, ProxyError):
        return f"the answer of the proxy {host} is not HTTP; check `ws_proxy`"
    if isinstance(error, ConnectionResetError | BrokenPipeError) or (
        isinstance(error, InvalidMessage) and isinstance(error.__cause__, EOFError)
    ):
        return f"{host} cut the connection before it had answered"
    if isinstance(error, OSError):
        return unreachable(error, host, "wss")
    if isinstance(error, InvalidHandshake):
        return "the answer is not a WebSocket's; check the configured URL, and proxies on the way"
    return f"connecting to {host} failed ({type(error).__name__}); check the configured URL"
