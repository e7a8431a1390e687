"""JetStream's API as plain JSON requests over a NATS connection. Imports nats-py, whose exceptions end here.

nats-py's own dataclasses lack fields of servers since 2.12, so the bodies are dictionaries as the server documents
them (ADR-8, ADR-31, ADR-44). Every call has a deadline. Texts of errors never hold what the server said of a message.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import anyio
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from bridge.core.errors import Away
from bridge.core.record import Json
from bridge.edge.codec import encode
from bridge.edge.nats import wire
from bridge.edge.nats.answers import STATUS, Entry, Inbox, NoAnswer, Reader, headers_of, parse_headers

__all__ = [
    "STATUS", "ApiError", "Entry", "Inbox", "JetStream", "Message", "NoAnswer", "Nobody", "StreamState",
]  # fmt: skip

NO_MESSAGE = 10037
NOT_ENABLED = 10076
NOT_ENABLED_FOR_ACCOUNT = 10039
STREAM_NOT_FOUND = 10059
STREAM_DIFFERS = 10058
SUBJECTS_OVERLAP = 10065

WALKS = 12
"""Times the usual deadline for questions that the server answers by walking through all subjects or blocks.

With a million entities in a stream that has just been filled, making a consumer of the last messages was seen to take
1.2 to 1.5 s, the last message of `>` 1.5 s, and that is with nothing else at work.
"""
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


class Nobody(NoAnswer):
    """Nobody listens where JetStream's API should be."""


class Message(NamedTuple):
    """A stored message. `headers` are the stored ones plus what the server adds for a direct get.

    `time`: when it was stored, as an RFC 3339 stamp; "" where nobody said.
    """

    subject: str
    seq: int
    headers: Mapping[str, str]
    payload: bytes
    time: str = ""


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
    def elsewhere(self) -> bool:
        """Whether it is reached across a border: in another domain, or in another account."""
        return self._prefix != "$JS.API"

    @property
    def server_has_it(self) -> bool:
        """Whether the server we are connected to says that it has JetStream. One behind it may still answer."""
        return bool(self._nc._server_info.get("jetstream"))

    async def call(self, subject: str, body: Json = None, *, walks: bool = False) -> Json:
        """One request below the prefix; its decoded answer. `walks`: see WALKS. Raises ApiError and NoAnswer."""
        full = f"{self._prefix}.{subject}"
        ask = self._request_long if walks else self._request
        answer = wire.decode((await ask(full, b"" if body is None else encode(body))).data)
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
            found = (await self.call(f"STREAM.MSG.GET.{stream}", query, walks=_walks(query)))["message"]
        except ApiError as error:
            if error.err_code == NO_MESSAGE or error.code == 404:
                return None
            raise
        headers = parse_headers(base64.b64decode(found.get("hdrs", "")))
        return Message(
            found["subject"], found["seq"], headers, base64.b64decode(found.get("data", "")), found.get("time", "")
        )

    async def direct(self, stream: str, query: Mapping[str, Json]) -> Message | None:
        """The same, answered by whichever replica is first: None may mean that it lags. Raises NoAnswer."""
        answer = await self._request(f"{self._prefix}.DIRECT.GET.{stream}", encode(query))
        headers = headers_of(answer)
        return None if STATUS in headers else _message(headers, answer.data)

    async def last_of(self, stream: str, subjects: Sequence[str], up_to: int = 0) -> list[Message]:
        """The last message of each of these subjects that has one; any replica may answer. Raises NoAnswer.

        `up_to`: none after this sequence counts, nor is looked for; 0: all do.
        """
        found: list[Message] = []
        for part in _parts(subjects):
            query: dict[str, Json] = {"multi_last": part, "max_bytes": MOST_ANSWER_BYTES}
            if up_to:
                query["up_to_seq"] = up_to
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
            headers = headers_of(message)
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
        name = (await self.call(f"CONSUMER.CREATE.{stream}", body, walks=True))["name"]
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

    async def _request_long(self, subject: str, body: bytes) -> Msg:
        """The same with a longer deadline, given up early where the connection is lost meanwhile."""
        found: list[Msg | NoAnswer] = []
        done, life = anyio.Event(), self._nc.stats["reconnects"]

        async def ask() -> None:
            try:
                found.append(await self._request(subject, body, WALKS))
            except NoAnswer as error:
                found.append(error)
            done.set()

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            while not done.is_set() and self._nc.is_connected and self._nc.stats["reconnects"] == life:
                with anyio.move_on_after(self._deadline_s / 4):
                    await done.wait()
            group.cancel_scope.cancel()
        answer = found[0] if found else NoAnswer(f"the connection to NATS was lost before {subject} was answered")
        if isinstance(answer, NoAnswer):
            raise answer
        return answer

    async def _request(self, subject: str, body: bytes, times: int = 1) -> Msg:
        deadline_s = self._deadline_s * times
        if not self._nc.is_connected:
            raise NoAnswer("NATS is not connected")
        try:
            with anyio.fail_after(deadline_s):
                return await self._nc.request(subject, body, timeout=deadline_s + 1)
        except nats.errors.NoRespondersError:
            raise Nobody(f"nobody answers at {subject}: JetStream is off, or starting") from None
        except (TimeoutError, nats.errors.TimeoutError):
            raise NoAnswer(
                f"no answer at {subject} within {deadline_s:g} s: NATS is away, or this user may not ask there"
            ) from None
        except nats.errors.Error as error:
            raise NoAnswer(f"NATS cannot be asked now ({type(error).__name__})") from None


def _message(headers: dict[str, str], payload: bytes) -> Message:
    try:
        return Message(headers["Nats-Subject"], int(headers["Nats-Sequence"]), headers, payload)
    except (KeyError, ValueError, binascii.Error):
        raise NoAnswer("a direct get was answered without subject and sequence") from None


def _walks(query: Mapping[str, Json]) -> bool:
    # With the id at its end, as an entity's history has it, a subject leads straight to its few messages.
    return "next_by_subj" in query or str(query.get("last_by_subj", "")).endswith(("*", ">"))


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
