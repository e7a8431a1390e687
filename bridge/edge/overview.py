"""What the stream tells of every source: who owns it, how far it has come, how it is. For `bridged status`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from nats.aio.client import Client

from bridge.core.record import Json
from bridge.core.subject import EVENTS, cursor_subject, owner_subject, token, untoken
from bridge.edge import wire
from bridge.edge.jetstream import JetStream, Message
from bridge.edge.layout import LedgerNames


@dataclass(slots=True)
class Overview:
    """One source. Times are RFC 3339 texts in UTC, as stored; None or empty where the stream knows nothing."""

    name: str
    vendor: str
    owner: dict[str, Json] = field(default_factory=dict)
    condition: str = "never connected"
    since: str | None = None
    reason: str = ""
    walks: dict[str, dict[str, Json]] = field(default_factory=dict)
    last_event: dict[str, Json] | None = None
    open_gaps: list[Json] = field(default_factory=list)
    quarantined: int = 0


class Observer:
    """Reads the stream and writes nothing."""

    def __init__(self, nc: Client, names: LedgerNames) -> None:
        self._js = JetStream(nc, prefix=names.api, deadline_s=5.0)
        self._stream = names.stream

    async def source(self, vendor: str, source: str) -> Overview:
        """What the stream tells of one source. Raises ApiError and NoAnswer."""
        view = Overview(source, vendor)
        owner = await self._last(owner_subject(source))
        if owner is not None:
            view.owner = _object(owner)
        own = f"{EVENTS}.bridge.{token(source)}"
        told = await self._last(f"{own}.source.*.{token(source)}")
        if told is not None:
            after = _object(told).get("after") or {}
            view.condition = told.subject.split(".")[4]
            view.reason = after.get("reason", "")
            view.since = self._time(told)
        prefix = cursor_subject(source, "").removesuffix("=")
        for subject in await self._subjects(f"{prefix}*"):
            cursor = await self._last(subject)
            if cursor is not None:
                view.walks[untoken(subject.removeprefix(prefix)) or subject] = _object(cursor)
        last = await self._last(f"{EVENTS}.{token(vendor)}.{token(source)}.>")
        if last is not None:
            view.last_event = {"subject": last.subject, "seq": last.seq, "stored": self._time(last)}
        view.quarantined = sum((await self._subjects(f"{own}.quarantine.>")).values())
        for id_ in {subject.rpartition(".")[2] for subject in await self._subjects(f"{own}.gap.>")}:
            gap = await self._last(f"{own}.gap.*.{id_}")
            if gap is not None and ".gap.opened." in gap.subject:
                view.open_gaps.append(_object(gap).get("after"))
        return view

    async def stream(self) -> dict[str, Any]:
        """Size and age of the stream. Raises ApiError and NoAnswer."""
        state = (await self._js.stream(self._stream))["state"]
        return {key: state[key] for key in ("messages", "bytes", "first_seq", "last_seq", "first_ts", "last_ts")}

    async def _last(self, subjects: str) -> Message | None:
        return await self._js.get(self._stream, {"last_by_subj": subjects})

    async def _subjects(self, subjects: str) -> dict[str, int]:
        found: dict[str, int] = (await self._js.stream(self._stream, subjects=subjects))["state"].get("subjects") or {}
        return found

    def _time(self, message: Message) -> str | None:
        """When the bridge observed it: carried in the event itself."""
        return message.headers.get("ce-observedtime")


def _object(message: Message) -> dict[str, Json]:
    try:
        value = wire.decode(message.payload)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
