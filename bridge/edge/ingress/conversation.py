"""The requests of one connection, one after the other, by h11: each within its deadlines, each with its one reply."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from email.utils import formatdate
from http import HTTPStatus

import anyio
import anyio.lowlevel
import h11

from bridge.edge.ingress.house import MOST_HELD, House
from bridge.edge.ingress.target import BadRequest, check, read_headers, read_target
from bridge.edge.ingress.wire import Gone, Wire
from bridge.engine.ports import Incoming, Reply

MOST_HEAD = 32_768
"""Bytes of a request line with its headers, give or take one read of the connection."""
LINGER_S = 2.0
"""How long a client that still sends, though it has its answer, may take to notice."""
BREATH = 256
"""Pieces of a body taken in a row: a chunk may be one byte long."""
RETRY_AFTER = {"Retry-After": "5"}
BUG = Reply(500, "something is wrong on this side; its operator finds it in the log")

FRAMING = frozenset({"connection", "content-length", "date", "keep-alive", "transfer-encoding", "upgrade"})
"""Headers of a reply that are ours to set."""
UNFINISHED = (h11.IDLE, h11.SEND_BODY, h11.ERROR)
"""States of a client that has not sent a whole request, or nothing we could read on from."""


class Conversation:
    """Speaks HTTP/1.1 with one client until either side has had enough. `peer`, `names`: see `Incoming`."""

    def __init__(self, wire: Wire, house: House, peer: str, names: Sequence[str]) -> None:
        self._wire = wire
        self._house = house
        self._peer = peer
        self._names = names
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MOST_HEAD)
        self._held = 0
        self._first = True
        self._last = False
        self._cut = False
        self._bodiless = False

    async def run(self) -> None:
        """Return when the connection may be closed. Raises nothing that the client can cause."""
        try:
            while await self._exchange():
                self._http.start_next_cycle()
                self._first = False
            if self._cut and not self._wire.gone:
                with anyio.move_on_after(LINGER_S):
                    await self._wire.finish()
        except Gone:
            return

    async def _exchange(self) -> bool:
        """One request and its reply. False: the last, or there was none."""
        try:
            reply = await self._reply()
        except BadRequest as bad:
            self._last = True
            reply = bad.reply
        except h11.RemoteProtocolError as error:
            # Its text shows what the client sent; the number says enough.
            reply = Reply(error.error_status_hint, "the request is not what HTTP/1.1 allows, or its head is too long")
        finally:
            self._house.held -= self._held
            self._held = 0
        if reply is None:
            self._last = True
            return False
        await self._send(reply)
        return not self._last and self._http.our_state is h11.DONE and self._http.their_state is h11.DONE

    async def _reply(self) -> Reply | None:
        """What to answer; None when there is nobody to answer, or nothing."""
        self._bodiless = False
        head = await self._head()
        if not isinstance(head, h11.Request):
            return head
        self._house.counts.requests += 1
        method = head.method.decode("ascii")
        self._bodiless = method == "HEAD"
        headers = read_headers(head.headers)
        check(head.http_version.decode("ascii"), headers)
        path, query = read_target(method, head.target.decode("ascii"))
        limit = self._limit(method, path)
        if isinstance(limit, Reply):
            return limit
        if headers.get("content-encoding", "identity").lower() != "identity":
            # A small body may unpack to a large one, and senders of webhooks do not compress.
            return Reply(415, "compressed bodies are not taken", {"Accept-Encoding": "identity"})
        body = await self._body(limit, int(headers.get("content-length", 0)))
        if not isinstance(body, bytes):
            return body
        return await self._answer(
            Incoming(method, path, headers, body, query=query, peer=self._peer, names=self._names)
        )

    async def _head(self) -> h11.Request | Reply | None:
        """The request line and headers, once they are complete; the reply if they do not come; None if nothing does."""
        patience = self._house.settings.header_timeout_s
        begun = anyio.current_time()
        event = self._http.next_event()
        if event is h11.NEED_DATA and not self._http.trailing_data[0]:
            wait = patience if self._first else self._house.settings.idle_timeout_s
            with anyio.move_on_after(wait) as scope, self._house.idle(scope):
                if not await self._more():
                    return None
            if scope.cancelled_caught:
                return None
            event = self._http.next_event()
        elif not self._first:
            # Many requests sent at once must not keep the loop.
            await anyio.lowlevel.checkpoint()
        if event is h11.NEED_DATA:
            deadline = (begun if self._first else anyio.current_time()) + patience
            with anyio.CancelScope(deadline=deadline) as scope:
                while event is h11.NEED_DATA:
                    if not await self._more():
                        return None
                    event = self._http.next_event()
            if scope.cancelled_caught:
                return Reply(408, f"request line and headers took longer than {patience:g} s")
        return event if isinstance(event, h11.Request) else None

    def _limit(self, method: str, path: str) -> int | Reply:
        try:
            return self._house.answer.limit(method, path)
        except Exception as error:  # noqa: BLE001 - a bug behind one path must not close the others
            self._house.bug(error)
            return BUG

    async def _body(self, limit: int, announced: int) -> bytes | Reply | None:
        """The body; the reply if there is something wrong with it; None when the client left."""
        if announced > limit:
            return _too_long(limit)
        if self._http.they_are_waiting_for_100_continue:
            await self._write(self._http.send(h11.InformationalResponse(status_code=100, headers=[])))
        # Joined as it comes: a piece may be two bytes long, and an object of its own twenty times that.
        body = bytearray()
        found = self._arrived(body, limit)
        if not isinstance(found, bool):
            # Most bodies come with their headers: no clock need be set for them.
            return found
        patience = self._house.settings.body_timeout_s
        with anyio.move_on_after(patience):
            while isinstance(found, bool):
                if found:
                    await anyio.lowlevel.checkpoint()
                elif not await self._more():
                    return None
                found = self._arrived(body, limit)
            return found
        return Reply(408, f"the body took longer than {patience:g} s")

    def _arrived(self, body: bytearray, limit: int) -> bytes | Reply | bool:
        """Take what is there of a body: the whole, or the refusal; else whether there is more, or we must wait."""
        for _ in range(BREATH):
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                return False
            if not isinstance(event, h11.Data):
                return bytes(body)
            body += event.data
            self._held += len(event.data)
            self._house.held += len(event.data)
            if self._held > limit:
                return _too_long(limit)
            if self._house.held > MOST_HELD:
                return Reply(503, "too many bodies at once; try again later", RETRY_AFTER)
        return True

    async def _more(self) -> bool:
        """Wait for bytes; False at the end of them."""
        data = await self._wire.take()
        if data:
            self._http.receive_data(data)
        return bool(data)

    async def _answer(self, incoming: Incoming) -> Reply | None:
        patience = self._house.settings.answer_timeout_s
        with anyio.move_on_after(patience) as scope, self._wire.cancelling(scope):
            try:
                return await self._house.answer(incoming)
            except Exception as error:  # noqa: BLE001 - a bug behind one path must not close the others
                self._house.bug(error)
                return BUG
        if self._wire.gone:
            return None
        return Reply(503, f"no answer within {patience:g} s; try again later", RETRY_AFTER)

    async def _send(self, reply: Reply) -> None:
        self._skip()
        self._cut = self._http.their_state in UNFINISHED
        self._last |= self._cut or self._house.stopping
        try:
            head, body = self._response(reply)
        except Exception as error:  # noqa: BLE001 - a reply that HTTP cannot say
            self._house.bug(error)
            head, body = self._response(BUG)
        data = self._http.send(head)
        if body and not self._bodiless:
            data += self._http.send(h11.Data(data=body))
        await self._write(data + self._http.send(h11.EndOfMessage()))

    def _skip(self) -> None:
        """Throw away what has already come of a body that nobody wants: if that is all, the connection can go on."""
        with suppress(h11.RemoteProtocolError):
            while self._http.their_state is h11.SEND_BODY and self._http.next_event() is not h11.NEED_DATA:
                pass

    def _response(self, reply: Reply) -> tuple[h11.Response, bytes]:
        """Raises anything if the reply cannot be said in HTTP."""
        body = reply.body.encode("utf-8")
        headers = {"date": formatdate(usegmt=True), "x-content-type-options": "nosniff"}
        if reply.status in (204, 304):
            body = b""
        else:
            headers |= {"content-type": "text/plain; charset=utf-8", "content-length": str(len(body))}
        headers |= {name: value for name, value in _lowered(reply.headers) if name not in FRAMING}
        if self._last:
            headers["connection"] = "close"
        phrase = HTTPStatus(reply.status).phrase if reply.status in _KNOWN else ""
        response = h11.Response(status_code=reply.status, headers=list(headers.items()), reason=phrase.encode("ascii"))
        return response, body

    async def _write(self, data: bytes) -> None:
        """Raises Gone when the client left, or takes it too slowly."""
        if self._wire.send(data):
            return
        with anyio.move_on_after(self._house.settings.body_timeout_s) as scope:
            await self._wire.drained()
        if scope.cancelled_caught:
            self._wire.abort()
            raise Gone


def _too_long(limit: int) -> Reply:
    return Reply(413, f"the body is longer than the {limit} bytes taken here")


_KNOWN = frozenset(status.value for status in HTTPStatus)


def _lowered(headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    return ((name.lower(), value) for name, value in headers.items())
