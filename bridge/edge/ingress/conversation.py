"""The requests of one connection, one after the other: each within its deadlines, each with its one reply.

Usual ones are read by `bridge/edge/ingress/usual.py`, all others by h11, which never sees those.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import anyio
import anyio.lowlevel
import h11

from bridge.edge.ingress import usual
from bridge.edge.ingress.house import MOST_HELD, House
from bridge.edge.ingress.remainder import Crowded, Remainder
from bridge.edge.ingress.target import BadRequest, check, read_headers, read_target
from bridge.edge.ingress.wire import Gone, Late, Wire
from bridge.engine.ports import Incoming, Reply, Write

MOST_HEAD = 32_768
"""Bytes of a request line with its headers, give or take one read of the connection."""
LINGER_S = 2.0
"""How long a client that still sends, though it has its answer, may take to notice."""
BEYOND_S = 1.0
"""Whoever answers gives up at the same deadline, and counts and logs that; so it has so much longer to be the first."""
BREATH = 256
"""Pieces of a body taken in a row: a chunk may be one byte long."""
RETRY_AFTER = {"Retry-After": "5"}
CROWDED = Reply(503, "too many bodies at once; try again later", RETRY_AFTER)
BUG = Reply(500, "something is wrong on this side; its operator finds it in the log")
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
        self._usual = False
        self._behind = Remainder(wire, self._hold)

    async def run(self) -> None:
        """Return when the connection may be closed. Raises nothing that the client can cause."""
        try:
            while await self._exchange():
                if not self._usual:
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
        if self._usual:
            await self._send_usual(reply)
            return not self._last
        await self._send(reply)
        return not self._last and self._http.our_state is h11.DONE and self._http.their_state is h11.DONE

    async def _reply(self) -> Reply | None:
        """What to answer; None when there is nobody to answer, or nothing."""
        self._bodiless = False
        self._usual = False
        head = await self._head()
        if head is None or isinstance(head, Reply):
            return head
        self._house.counts.requests += 1
        if isinstance(head, usual.Head):
            self._usual = True
            method, target, headers = "POST", head.target, head.headers
        else:
            method, target = head.method.decode("ascii"), head.target.decode("ascii")
            self._bodiless = method == "HEAD"
            headers = read_headers(head.headers)
            check(head.http_version.decode("ascii"), headers)
        path, query = read_target(method, target)
        limit = self._limit(method, path)
        if isinstance(limit, Reply):
            return limit
        if headers.get("content-encoding", "identity").lower() != "identity":
            # A small body may unpack to a large one, and senders of webhooks do not compress.
            return Reply(415, "compressed bodies are not taken", {"Accept-Encoding": "identity"})
        if isinstance(head, usual.Head):
            body = await self._usual_body(limit, head.length)
        else:
            body = await self._body(limit, int(headers.get("content-length", 0)))
        if not isinstance(body, bytes):
            return body
        return await self._answer(
            Incoming(method, path, headers, body, query=query, peer=self._peer, names=self._names)
        )

    async def _head(self) -> usual.Head | h11.Request | Reply | None:
        """The request line and headers, once they are complete; the reply if they do not come; None if nothing does."""
        now = asyncio.get_running_loop().time
        patience = self._house.settings.header_timeout_s
        begun = now()
        behind = bool(self._http.trailing_data[0])
        data = self._behind.leave()
        if behind or data:
            # Many requests sent at once must not keep the loop.
            await anyio.lowlevel.checkpoint()
        else:
            data = await self._idle(begun + (patience if self._first else self._house.settings.idle_timeout_s))
            if not data:
                return None
        if not behind and (head := usual.read(data)) is not None:
            self._behind.begin(data[head.begins :], head.length)
            return head
        if data:
            self._http.receive_data(data)
        event = self._http.next_event()
        if event is h11.NEED_DATA:
            deadline = (begun if self._first else now()) + patience
            try:
                while event is h11.NEED_DATA:
                    if not await self._more(deadline):
                        return None
                    event = self._http.next_event()
            except Late:
                return Reply(408, f"request line and headers took longer than {patience:g} s")
        return event if isinstance(event, h11.Request) else None

    async def _idle(self, until: float) -> bytes:
        """The first bytes of a request; b"" if none come, or none are wanted any more."""
        # Who has just come may have the first request under way.
        dismiss = self._wire.dismiss_soon if self._first else self._wire.dismiss
        if self._house.stopping:
            if not self._first:
                return b""
            dismiss()
        self._house.idle.add(dismiss)
        try:
            return await self._wire.take(until)
        except Late:
            return b""
        finally:
            self._house.idle.discard(dismiss)
            self._wire.keep()

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
        deadline = asyncio.get_running_loop().time() + self._house.settings.body_timeout_s
        try:
            while isinstance(found, bool):
                if found:
                    await self._breathe(deadline)
                elif not await self._more(deadline):
                    return None
                found = self._arrived(body, limit)
        except Late:
            return self._slow_body()
        return found

    async def _usual_body(self, limit: int, length: int) -> bytes | Reply | None:
        """The same for a usual request."""
        if length > limit:
            return _too_long(limit)
        try:
            return await self._behind.body(self._house.settings.body_timeout_s)
        except Late:
            return self._slow_body()
        except Crowded:
            return CROWDED

    def _hold(self, size: int) -> bool:
        """So much more is held now. False: it is too much."""
        self._held += size
        self._house.held += size
        return self._house.held <= MOST_HELD

    def _slow_body(self) -> Reply:
        return Reply(408, f"the body took longer than {self._house.settings.body_timeout_s:g} s")

    async def _breathe(self, deadline: float) -> None:
        await anyio.lowlevel.checkpoint()
        if asyncio.get_running_loop().time() >= deadline:
            raise Late

    def _arrived(self, body: bytearray, limit: int) -> bytes | Reply | bool:
        """Take what is there of a body: the whole, or the refusal; else whether there is more, or we must wait."""
        for _ in range(BREATH):
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                return False
            if not isinstance(event, h11.Data):
                return bytes(body)
            body += event.data
            crowded = not self._hold(len(event.data))
            if self._held > limit:
                return _too_long(limit)
            if crowded:
                return CROWDED
        return True

    async def _more(self, until: float) -> bool:
        """Wait for bytes; False at the end of them. Raises Late."""
        data = await self._wire.take(until)
        if data:
            self._http.receive_data(data)
        return bool(data)

    async def _answer(self, incoming: Incoming) -> Reply | None:
        patience = self._house.settings.answer_timeout_s
        with anyio.CancelScope() as scope:
            self._wire.watch(scope.cancel, asyncio.get_running_loop().time() + patience + BEYOND_S)
            try:
                return await self._house.answer(incoming)
            except Exception as error:  # noqa: BLE001 - a bug behind one path must not close the others
                self._house.bug(error)
                return BUG
            finally:
                self._wire.unwatch()
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
        if reply.stream is not None and not self._bodiless:
            await self._write(data)
            await self._stream(reply.stream)
            return
        if body and not self._bodiless:
            data += self._http.send(h11.Data(data=body))
        await self._write(data + self._http.send(h11.EndOfMessage()))

    async def _stream(self, stream: Callable[[Write], Awaitable[None]]) -> None:
        """Write a body as it comes, till its end or the door closes. Raises Gone when the client leaves or stalls."""
        with anyio.CancelScope() as scope:
            self._wire.watch(scope.cancel)
            self._house.idle.add(scope.cancel)
            if self._house.stopping:
                scope.cancel()
            try:
                await stream(self._piece)
            except Exception as error:
                if not isinstance(error, Gone):
                    # Too late for another status: a body that is cut off says that something is wrong.
                    self._house.bug(error)
                    self._wire.abort()
                raise Gone from error
            finally:
                self._house.idle.discard(scope.cancel)
                self._wire.unwatch()
        await self._write(self._http.send(h11.EndOfMessage()))

    async def _piece(self, data: bytes) -> None:
        if data:
            await self._write(self._http.send(h11.Data(data=data)))

    def _skip(self) -> None:
        """Throw away what has already come of a body that nobody wants: if that is all, the connection can go on."""
        with suppress(h11.RemoteProtocolError):
            while self._http.their_state is h11.SEND_BODY and self._http.next_event() is not h11.NEED_DATA:
                pass

    def _response(self, reply: Reply) -> tuple[h11.Response, bytes]:
        """Raises anything if the reply cannot be said in HTTP."""
        headers, body = usual.fields(reply, last=self._last)
        reason = usual.phrase(reply.status).encode("ascii")
        return h11.Response(status_code=reply.status, headers=list(headers.items()), reason=reason), body

    async def _send_usual(self, reply: Reply) -> None:
        self._cut = not self._behind.skip()
        self._last |= self._cut or self._house.stopping
        try:
            data = usual.said(reply, last=self._last)
        except Exception as error:  # noqa: BLE001 - a reply that HTTP cannot say
            self._house.bug(error)
            data = usual.said(BUG, last=self._last)
        await self._write(data)

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
