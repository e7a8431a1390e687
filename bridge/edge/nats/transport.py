"""The TCP or TLS transport under nats-py. What comes in can be taken here, before anybody is woken for it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Iterator
from urllib.parse import ParseResult

from nats.aio.transport import TcpTransport

Skim = Callable[[bytes], bytes]
"""Takes what it can of what has just come, from its beginning on, and returns the rest. Must not raise."""

_CLOSE_DEADLINE_S = 1.0


class Reader(asyncio.StreamReader):
    """A stream reader whose bytes pass `skim` first, unless some that came before them have not been read yet."""

    def __init__(self, skim: Skim, *, limit: int) -> None:
        super().__init__(limit=limit)
        self._skim = skim
        self._unread = False

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]  # a protocol feeds nothing but bytes
        """See `asyncio.StreamReader`. Where nothing is left of `data`, nobody is woken."""
        if not self._unread:
            data = self._skim(data)
        if data:
            self._unread = True
            super().feed_data(data)

    async def read(self, n: int = -1) -> bytes:
        """See `asyncio.StreamReader`."""
        data = await super().read(n)
        # Whoever reads so much at a time has read all; what is cut off at a limit is followed by the rest.
        self._unread = len(data) == n
        return data


class Transport(TcpTransport):
    """Closes at once, whether the peer listens or not, and breaks like any: with an OSError."""

    def __init__(self, skim: Skim = lambda data: data) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._skim = skim

    async def connect(self, uri: ParseResult, buffer_size: int, connect_timeout: int) -> None:
        """As nats-py's, with our reader."""
        loop = asyncio.get_running_loop()
        reader = Reader(self._skim, limit=buffer_size)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        async with asyncio.timeout(connect_timeout):
            transport, _ = await loop.create_connection(lambda: protocol, uri.hostname, uri.port)  # type: ignore[arg-type]
        self._bare_io_reader = self._io_reader = reader
        # nats-py keeps the first writer: without it the socket would be closed while TLS is put on top.
        self._bare_io_writer = self._io_writer = asyncio.StreamWriter(transport, protocol, reader, loop)

    async def connect_tls(
        self, uri: str | ParseResult, ssl_context: ssl.SSLContext, buffer_size: int, connect_timeout: int
    ) -> None:
        """As nats-py's, with our reader."""
        assert self._io_writer is not None
        loop = asyncio.get_running_loop()
        reader = Reader(self._skim, limit=buffer_size)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        host = uri if isinstance(uri, str) else uri.hostname
        async with asyncio.timeout(connect_timeout):
            transport = await loop.start_tls(self._io_writer.transport, protocol, ssl_context, server_hostname=host)
        assert transport is not None
        self._io_reader = reader
        self._io_writer = asyncio.StreamWriter(transport, protocol, reader, loop)

    def write(self, payload: bytes) -> None:
        """As nats-py's."""
        # As `_broken`, which would cost as much as the writing.
        try:
            super().write(payload)  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            raise ConnectionResetError(str(error)) from None

    def writelines(self, payload: list[bytes]) -> None:
        """As nats-py's."""
        with _broken():
            super().writelines(payload)  # type: ignore[no-untyped-call]

    async def drain(self) -> None:
        """As nats-py's."""
        with _broken():
            await super().drain()  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Close at once. What is buffered is dropped."""
        if self._io_writer is not None:
            # `close` would first send what is buffered: to a silent peer that takes until TCP gives up.
            self._io_writer.transport.abort()

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits to be written, and what is written can leave."""
        if self._io_writer is None:
            return False
        under = self._io_writer.transport
        return not under.is_closing() and not under.get_write_buffer_size()

    async def wait_closed(self) -> None:
        """Return when it is closed, or after a second."""
        with contextlib.suppress(OSError):
            await asyncio.wait_for(super().wait_closed(), _CLOSE_DEADLINE_S)  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def _broken() -> Iterator[None]:
    # uvloop says so of a socket that is closed already, and nats-py takes it for the end of the event loop.
    try:
        yield
    except RuntimeError as error:
        raise ConnectionResetError(str(error)) from None
