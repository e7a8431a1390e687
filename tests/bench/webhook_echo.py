"""What machine and sender take: `python -m tests.bench.webhook_echo PORT` reads a request and says 202, nothing more.

No signature, no JSON, no NATS. Where 99 of 100 of its answers are late, the processor was away, and no program that is
measured beside it can be quicker.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import uvloop

from tests.bench.webhook_script import LIFE_S

ANSWER = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
_LENGTH = b"content-length: "


class Echo(asyncio.Protocol):
    """Answers each request as soon as the last byte of its body is there."""

    def __init__(self) -> None:
        self._got = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what is answered on."""
        # uvloop's transports are not asyncio's by inheritance.
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        """One answer for each whole request."""
        self._got += data
        while (end := self._got.find(b"\r\n\r\n")) >= 0:
            length = int(self._got[:end].partition(_LENGTH)[2].partition(b"\r\n")[0])
            if len(self._got) < end + 4 + length:
                return
            self._got = self._got[end + 4 + length :]
            assert self._transport is not None
            self._transport.write(ANSWER)


async def main(port: int) -> None:
    """Serve until killed; prints one line once it does."""
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", port)
    async with server:
        print("ready", flush=True)
        await asyncio.sleep(LIFE_S)


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
