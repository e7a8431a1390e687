"""The instances that run, asked over NATS: who is there, how each is, and to load its configuration anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import anyio
from nats.aio.msg import Msg

from bridge.core import micro
from bridge.core.errors import BridgeError
from bridge.edge.nats import wire
from bridge.edge.nats.answers import STATUS, Inbox, NoAnswer, headers_of
from bridge.edge.nats.connection import Denied, NatsConnection

FIRST_S = 5.0
"""How long the first instance may take to answer, where the server knows that somebody listens."""
QUIET_S = 0.5
"""All have answered once nobody new has for so long."""
MOST = 1000
NOBODY = "503"
"""The status that says that nobody listens."""
WHO = f"{micro.CONTROL}.INFO.{micro.NAME}"
"""Where everybody is asked who they are."""


class Unanswered(BridgeError):
    """An instance did not answer a question, or said that it cannot: the text says which, for people."""


@dataclass(frozen=True, slots=True)
class Found:
    """An instance that runs. `subjects`: where its endpoints are asked, by name; no others than one of its name has."""

    id: str
    instance: str
    host: str
    pid: int | None
    build: str
    subjects: dict[str, str] = field(default_factory=dict)


class Instances:
    """Asks who runs, and each. What NATS denies of that is in `denied`, and hinders nothing else."""

    def __init__(self, connection: NatsConnection) -> None:
        self._connection = connection
        connection.excuse = self._excused
        self._asking: dict[str, anyio.CancelScope] = {}
        self.denied: set[str] = set()
        """Subjects of ours that we may not publish to."""
        self.silent = False
        """Whether somebody listened the last time we asked who is there, and nobody answered."""

    async def find(self) -> list[Found]:
        """Every instance that answers, by name. [] where none does, or this user may not ask. Raises NoAnswer."""
        found: dict[str, Found] = {}
        scope = anyio.CancelScope(deadline=anyio.current_time() + FIRST_S)

        def take(message: Msg) -> bool:
            if headers_of(message).get(STATUS) == NOBODY:
                return True
            if len(found) < MOST and (one := _found(message.data)) is not None:
                found[one.id] = one
                scope.deadline = anyio.current_time() + QUIET_S
            return False

        await self._send(take, scope, WHO, 2 * FIRST_S, "the instances")
        self.silent = scope.cancelled_caught and not found and WHO not in self.denied
        return sorted(found.values(), key=lambda one: (one.instance, one.id))

    async def ask(self, one: Found, endpoint: str, deadline_s: float) -> list[Any]:
        """The JSON documents of its answer, one for each part. Raises Unanswered, and NoAnswer while NATS is away.

        `deadline_s`: the longest silence.
        """
        if (subject := one.subjects.get(endpoint)) is None:
            raise Unanswered(f"it has no {endpoint!r}: it is another build")
        parts: dict[int, Any] = {}

        def take(message: Msg) -> bool:
            headers = headers_of(message)
            if headers.get(STATUS) == NOBODY:
                raise Unanswered("it listens no more")
            if headers.get(micro.ONLY, one.id) != one.id:
                return False
            if (error := headers.get(micro.ERROR)) is not None:
                raise Unanswered(error)
            number, _, count = headers.get(micro.PART, "1/1").partition("/")
            try:
                parts[int(number)] = wire.decode(message.data)
                endless = int(count) > micro.MOST_PARTS
            except ValueError:
                endless = True
            if endless:
                raise Unanswered("its answer cannot be read: it is another build")
            return len(parts) >= int(count)

        try:
            await self._send(take, anyio.CancelScope(), subject, deadline_s, one.instance, {micro.ONLY: one.id})
        except NoAnswer:
            if not self._connection.connected:
                raise
            raise Unanswered(f"no answer within {deadline_s:g} s") from None
        if subject in self.denied:
            raise Unanswered(f"NATS denies this user publish on {subject}")
        return [parts[number] for number in sorted(parts)]

    async def _send(
        self,
        take: Callable[[Msg], bool],
        scope: anyio.CancelScope,
        subject: str,
        deadline_s: float,
        what: str,
        headers: dict[str, str] | None = None,
    ) -> None:
        """Ask and take what comes, until it is complete or `scope` is cancelled: at once where NATS denies it."""
        async with Inbox(self._connection.client, take) as inbox:
            self._asking[subject] = scope
            try:
                with scope:
                    await inbox.ask(subject, b"", deadline_s, what, headers)
            finally:
                self._asking.pop(subject, None)

    def _excused(self, refused: Denied) -> bool:
        if refused.action != "publish" or refused.subject not in self._asking:
            return False
        self.denied.add(refused.subject)
        self._asking[refused.subject].cancel()
        return True


def _found(data: bytes) -> Found | None:
    """None for what is not an answer of ours: anybody may call a service by our name."""
    try:
        told = wire.decode(data)
        about = {key: str(told["metadata"].get(key, "")) for key in ("instance", "host", "build")}
        pid = str(told["metadata"].get("pid", ""))
        # Who asks may write where whoever answers may not: it is not told where.
        subjects = {
            str(one["name"]): str(one["subject"])
            for one in told["endpoints"]
            if one["name"] in micro.ENDPOINTS
            and one["subject"] == micro.endpoint_subject(about["instance"], one["name"])
        }
        found = Found(id=str(told["id"]), pid=int(pid) if pid.isdecimal() else None, subjects=subjects, **about)
        return found if told["name"] == micro.NAME else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
