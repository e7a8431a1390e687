"""JetStream's API as plain JSON requests over a NATS connection. Imports nats-py, whose exceptions end here.

nats-py's own dataclasses lack fields of servers since 2.12, so the bodies are dictionaries as the server documents
them (ADR-8, ADR-31, ADR-44). Every call has a deadline. Texts of errors never hold what the server said of a message.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NamedTuple

import anyio
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from bridge.core.errors import Away
from bridge.core.record import Json
from bridge.edge import wire
from bridge.edge.codec import encode

NO_MESSAGE = 10037
NOT_ENABLED = 10076
NOT_ENABLED_FOR_ACCOUNT = 10039
STREAM_NOT_FOUND = 10059
STREAM_DIFFERS = 10058
SUBJECTS_OVERLAP = 10065

STATUS = "Status"
MOST_SUBJECTS = 500
"""Subjects per look-up: the server answers at most 1,024 messages to one."""
MOST_REQUEST_BYTES = 200_000
MOST_ANSWER_BYTES = 4 * 1024 * 1024


class ApiError(Exception):
    """JetStream answered with an error. `code` is like HTTP's, `err_code` names the case."""

    def __init__(self, subject: str, code: int, err_code: int, description: str) -> None:
        super().__init__(f"JetStream refused {subject}: {description} (error {err_code})")
        self.subject = subject
        self.code = code
        self.err_code = err_code
        self.description = description


class NoAnswer(Away):
    """Nothing came within the deadline, or nobody listens: JetStream is away, off, or not permitted."""


class Nobody(NoAnswer):
    """Nobody listens where JetStream's API should be."""


class Message(NamedTuple):
    """A stored message. `headers` are the stored ones plus what the server adds for a direct get."""

    subject: str
    seq: int
    headers: Mapping[str, str]
    payload: bytes


class Entry(NamedTuple):
    """One message as a consumer delivers it, headers only. `pending`: how many more match just now."""

    subject: str
    seq: int
    headers: Mapping[str, str]
    pending: int


@dataclass(frozen=True, slots=True)
class StreamState:
    """What tells one life of a stream from another."""

    created: str
    last_seq: int
    config: Mapping[str, Json]


class JetStream:
    """The API below `prefix` (`$JS.API`, or `$JS.<domain>.API`). `deadline_s` bounds each request, in seconds."""

    def __init__(self, nc: Client, *, prefix: str = "$JS.API", deadline_s: float = 5.0) -> None:
        self._nc = nc
        self._prefix = prefix
        self._deadline_s = deadline_s

    @property
    def server_version(self) -> str:
        """Version of the server we are connected to, as it says."""
        return str(self._nc._server_info.get("version", ""))

    @property
    def server_has_it(self) -> bool:
        """Whether the server we are connected to says that it has JetStream. One behind it may still answer."""
        return bool(self._nc._server_info.get("jetstream"))

    async def call(self, subject: str, body: Json = None) -> Json:
        """One request below the prefix; its decoded answer. Raises ApiError and NoAnswer."""
        full = f"{self._prefix}.{subject}"
        answer = wire.decode((await self._request(full, b"" if body is None else encode(body))).data)
        if error := answer.get("error"):
            raise ApiError(
                full, error.get("code", 0), error.get("err_code", 0), error.get("description", "no description")
            )
        return answer

    async def stream(self, name: str, *, subjects: str | None = None) -> Json:
        """A stream's information, asked of its leader; with the counts of the subjects that match `subjects`.

        Raises ApiError (STREAM_NOT_FOUND) and NoAnswer.
        """
        return await self.call(f"STREAM.INFO.{name}", None if subjects is None else {"subjects_filter": subjects})

    async def state(self, name: str) -> StreamState:
        """What tells this life of the stream from another. Raises ApiError and NoAnswer."""
        info = await self.stream(name)
        return StreamState(info["created"], info["state"]["last_seq"], info["config"])

    async def get(self, stream: str, query: Mapping[str, Json]) -> Message | None:
        """One message asked of the stream's leader, by `seq`, `last_by_subj` (wildcards allowed) or both
        `next_by_subj` and `seq`; None if there is none. Raises ApiError and NoAnswer."""
        try:
            found = (await self.call(f"STREAM.MSG.GET.{stream}", query))["message"]
        except ApiError as error:
            if error.err_code == NO_MESSAGE or error.code == 404:
                return None
            raise
        headers = parse_headers(base64.b64decode(found.get("hdrs", "")))
        return Message(found["subject"], found["seq"], headers, base64.b64decode(found.get("data", "")))

    async def direct(self, stream: str, query: Mapping[str, Json]) -> Message | None:
        """The same, answered by whichever replica is first: None may mean that it lags. Raises NoAnswer."""
        answer = await self._request(f"{self._prefix}.DIRECT.GET.{stream}", encode(query))
        headers = _headers(answer)
        return None if STATUS in headers else _message(headers, answer.data)

    async def last_of(self, stream: str, subjects: Sequence[str]) -> list[Message]:
        """The last message of each of these subjects that has one; any replica may answer. Raises NoAnswer."""
        found: list[Message] = []
        for part in _parts(subjects):
            query: dict[str, Json] = {"multi_last": part, "max_bytes": MOST_ANSWER_BYTES}
            for _ in range(len(part) + 1):
                more = await self._last_of_part(stream, query, found)
                if more is None:
                    break
                query |= more
            else:
                raise NoAnswer(f"stream {stream}: a look-up of {len(part)} subjects does not come to its end")
        return found

    async def _last_of_part(
        self, stream: str, query: Mapping[str, Json], found: list[Message]
    ) -> Mapping[str, Json] | None:
        """One answer of many messages. The server ends it early by size: returns what to ask next, None at its end."""
        end: dict[str, str] = {}

        def take(message: Msg) -> bool:
            headers = _headers(message)
            if STATUS not in headers:
                found.append(_message(headers, message.data))
                return False
            end.update(headers)
            return True

        async with Inbox(self._nc, take) as inbox:
            await inbox.ask(f"{self._prefix}.DIRECT.GET.{stream}", encode(query), self._deadline_s, f"stream {stream}")
        if end[STATUS] == "404":
            return None
        if end[STATUS] != "204":
            raise NoAnswer(f"stream {stream}: a look-up of several subjects was refused with status {end[STATUS]}")
        if int(end.get("Nats-Num-Pending", "0")) <= 0:
            return None
        return {"seq": int(end["Nats-Last-Sequence"]) + 1, "up_to_seq": int(end["Nats-UpTo-Sequence"])}

    async def consumer(self, stream: str, config: Mapping[str, Json]) -> str:
        """Create an ephemeral consumer; its name. Raises ApiError and NoAnswer."""
        body = {"stream_name": stream, "config": dict(config)}
        name = (await self.call(f"CONSUMER.CREATE.{stream}", body))["name"]
        return str(name)

    async def drop_consumer(self, stream: str, name: str) -> None:
        """Delete a consumer; silently gives up: the server forgets idle ones by itself."""
        try:
            await self.call(f"CONSUMER.DELETE.{stream}.{name}")
        except (ApiError, Away):
            return

    def reader(self, stream: str, consumer: str, take: Callable[[Entry], None]) -> Reader:
        """Reads a pull consumer in portions; `take` is called for each entry."""
        return Reader(self._nc, f"{self._prefix}.CONSUMER.MSG.NEXT.{stream}.{consumer}", take, self._deadline_s)

    async def _request(self, subject: str, body: bytes) -> Msg:
        if not self._nc.is_connected:
            raise NoAnswer("NATS is not connected")
        try:
            with anyio.fail_after(self._deadline_s):
                return await self._nc.request(subject, body, timeout=self._deadline_s + 1)
        except nats.errors.NoRespondersError:
            raise Nobody(f"nobody answers at {subject}: JetStream is off, or starting") from None
        except (TimeoutError, nats.errors.TimeoutError):
            raise NoAnswer(
                f"no answer at {subject} within {self._deadline_s:g} s: NATS is away, or this user may not ask there"
            ) from None
        except nats.errors.Error as error:
            raise NoAnswer(f"NATS cannot be asked now ({type(error).__name__})") from None


class Inbox:
    """A subscription for one request with many answers. `take` gets each message and returns True at the last."""

    def __init__(self, nc: Client, take: Callable[[Msg], bool]) -> None:
        self._nc = nc
        self._take = take
        self._subject = nc.new_inbox()
        self._subscription: Subscription | None = None
        self._done = anyio.Event()
        self._broken: Exception | None = None
        self._received = 0

    async def __aenter__(self) -> Inbox:
        try:
            # What may come is bounded by the question; nats-py's own limits would drop a part in silence.
            self._subscription = await self._nc.subscribe(
                self._subject, cb=self._receive, pending_msgs_limit=0, pending_bytes_limit=0
            )
        except nats.errors.Error as error:
            raise NoAnswer(f"NATS cannot be asked now ({type(error).__name__})") from None
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._subscription is None:
            return
        with anyio.move_on_after(1, shield=True):
            try:
                await self._subscription.unsubscribe()
            except nats.errors.Error:
                # The connection is gone, and the subscription with it.
                return

    async def ask(self, subject: str, body: bytes, deadline_s: float, what: str) -> None:
        """Send one request and return after its last answer. `deadline_s` is the longest silence.

        Raises NoAnswer.
        """
        self._done = anyio.Event()
        try:
            await self._nc.publish(subject, body, reply=self._subject)
        except nats.errors.Error as error:
            raise NoAnswer(f"{what}: NATS cannot be asked now ({type(error).__name__})") from None
        while not self._done.is_set():
            before = self._received
            with anyio.move_on_after(deadline_s):
                await self._done.wait()
            if before == self._received and not self._done.is_set():
                raise NoAnswer(f"{what}: no answer within {deadline_s:g} s")
        if self._broken is not None:
            raise self._broken

    async def _receive(self, message: Msg) -> None:
        self._received += 1
        try:
            last = self._take(message)
        except Exception as error:  # noqa: BLE001 - it is raised where the question was asked
            self._broken, last = error, True
        if last:
            self._done.set()


class Reader:
    """Reads a pull consumer, portion by portion. An async context manager."""

    PORTION = 4096

    def __init__(self, nc: Client, subject: str, take: Callable[[Entry], None], deadline_s: float) -> None:
        self._subject = subject
        self._entry = take
        self._deadline_s = deadline_s
        self._left = 0
        self._at_end = False
        self._inbox = Inbox(nc, self._take)

    async def __aenter__(self) -> Reader:
        await self._inbox.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._inbox.__aexit__(kind, error, trace)

    async def read(self, *, wait_s: float = 0.0) -> bool:
        """Read a portion; True when the consumer had no more. With `wait_s`, wait for the first that comes.

        Raises NoAnswer, also when the server ended the consumer.
        """
        request: dict[str, Json] = {"batch": self.PORTION, "no_wait": True}
        if wait_s:
            request = {"batch": 1, "expires": int(wait_s * 1e9)}
        self._left = request["batch"]
        self._at_end = False
        await self._inbox.ask(self._subject, encode(request), self._deadline_s + wait_s, "a consumer")
        return self._at_end

    def _take(self, message: Msg) -> bool:
        headers = _headers(message)
        if status := headers.get(STATUS):
            if status == "100":
                return False
            if status not in ("404", "408"):
                raise NoAnswer(f"the server ended a consumer with status {status}")
            self._at_end = True
            return True
        # $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>, or with domain and
        # account hash after ACK and a random token at the end.
        tokens = message.reply.split(".")
        at = 2 if len(tokens) == 9 else 4
        entry = Entry(message.subject, int(tokens[at + 3]), headers, int(tokens[at + 6]))
        self._entry(entry)
        self._left -= 1
        self._at_end = entry.pending == 0
        return self._left == 0


def parse_headers(block: bytes) -> dict[str, str]:
    """A NATS header block (`NATS/1.0`, then one `Name: value` a line) as stored by the server."""
    headers: dict[str, str] = {}
    for line in block.split(b"\r\n")[1:]:
        name, colon, value = line.partition(b":")
        if colon:
            headers[name.decode("ascii", "replace")] = value.strip().decode("utf-8", "replace")
    return headers


def _headers(message: Msg) -> dict[str, str]:
    raw: Mapping[Any, str] = message.headers or {}
    return {str(getattr(name, "value", name)): value for name, value in raw.items()}


def _message(headers: dict[str, str], payload: bytes) -> Message:
    try:
        return Message(headers["Nats-Subject"], int(headers["Nats-Sequence"]), headers, payload)
    except (KeyError, ValueError, binascii.Error):
        raise NoAnswer("a direct get was answered without subject and sequence") from None


def _parts(subjects: Sequence[str]) -> list[list[str]]:
    """The subjects in portions that fit into one request and one answer."""
    parts: list[list[str]] = []
    size = MOST_REQUEST_BYTES
    for subject in subjects:
        size += len(subject) + 3
        if size > MOST_REQUEST_BYTES or len(parts[-1]) == MOST_SUBJECTS:
            parts.append([])
            size = len(subject) + 3
        parts[-1].append(subject)
    return parts
