"""A daemon with its status page, as a process, and a reader of it over real HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import anyio

from tests.support.program import Child
from tests.support.waiting import PATIENCE_S, wait_until

Json = dict[str, Any]


class Page:
    """What a client of the page sees. `heard`: everything it was ever answered, for looking for what must not be
    there.
    """

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self.http = http
        self.url = url
        self.heard: list[str] = []

    async def ask(self, path: str, method: str = "GET", **more: Any) -> tuple[int, str, Any]:
        """Status, text and headers of the answer."""
        async with self.http.request(method, self.url + path, allow_redirects=False, **more) as response:
            text = await response.text()
            self.heard.append(f"{path} {response.headers} {text}")
            return response.status, text, response.headers

    async def status(self, path: str, **more: Any) -> int:
        """Of the answer; 0 where nobody answers."""
        try:
            return (await self.ask(path, **more))[0]
        except aiohttp.ClientConnectionError:
            return 0

    async def report(self, **more: Any) -> Json:
        """The whole report."""
        status, text, _ = await self.ask("/status.json", **more)
        assert status == 200, text
        found: Json = json.loads(text)
        return found

    @asynccontextmanager
    async def events(self, **more: Any) -> AsyncIterator[Events]:
        """Server-sent events while the block runs."""
        async with self.http.get(f"{self.url}/events", **more) as response:
            assert response.status == 200, await response.text()
            assert response.headers["Content-Type"] == "text/event-stream"
            yield Events(self, response)


class Events:
    """Reads the stream as the specification of server-sent events has it."""

    def __init__(self, page: Page, response: aiohttp.ClientResponse) -> None:
        self._page = page
        self._response = response

    async def next(self, kind: str) -> Any:
        """The data of the next event of this kind; the others are passed over. Raises EOFError at the end."""
        event, data = "message", ""
        with anyio.fail_after(PATIENCE_S):
            while True:
                # Line by line: a report is longer than what a reader of lines takes by default.
                read = await self._response.content.readuntil(b"\n")
                if not read:
                    raise EOFError("the stream has ended in order")
                line = read.decode().rstrip("\n")
                self._page.heard.append(line)
                field, _, value = line.partition(": ")
                if field == "event":
                    event = value
                elif field == "data":
                    data += value
                elif not line:
                    if event == kind and data:
                        return json.loads(data)
                    event, data = "message", ""


@asynccontextmanager
async def page(url: str, **more: Any) -> AsyncIterator[Page]:
    """A client whose every request has a deadline."""
    timeout = aiohttp.ClientTimeout(total=None, connect=PATIENCE_S, sock_read=PATIENCE_S)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector, read_bufsize=2**22, **more) as http:
        yield Page(http, url)


async def serving(daemon: Child) -> None:
    """Returns when the page is served."""
    await wait_until(lambda: not daemon.running or daemon.said("status.listening", -1), what="the page to be served")
    assert daemon.running, daemon.tail()
