"""What the stream tells of every source: who owns it, how far it has come, how it is. For `bridged status`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nats.aio.client import Client

from bridge.core.content import attributes_of, data_of
from bridge.core.lease import Claim
from bridge.core.record import Json
from bridge.core.report.overview import Overview
from bridge.core.subject import EVENTS, cursor_subject, owner_subject, token, untoken
from bridge.core.subscription import subscription_of
from bridge.edge.ledger.layout import LedgerNames
from bridge.edge.ledger.leases import look
from bridge.edge.nats import wire
from bridge.edge.nats.jetstream import ApiError, JetStream, Message, NoAnswer
from bridge.edge.operator.tail import explained, stream_state

MOST_GAPS = 100
"""Of more open gaps than this only so many are read."""
CLAIMS_S = 2.0
"""How long the bucket of leases may take to answer: without it an overview lacks little."""


class Observer:
    """Reads the stream and writes nothing. Raises StreamMissing, JetStreamOff and NoAnswer."""

    def __init__(self, nc: Client, names: LedgerNames) -> None:
        self._js = JetStream(nc, prefix=names.api, deadline_s=5.0)
        self._leases = JetStream(nc, prefix=names.api, deadline_s=CLAIMS_S)
        self._names = names
        self._stream = names.stream

    async def source(self, vendor: str, source: str) -> Overview:
        """What the stream tells of one source."""
        try:
            return await self._source(vendor, source)
        except ApiError as error:
            raise explained(error, self._stream) from None

    async def subscriptions(self, source: str) -> dict[str, dict[str, Json]]:
        """As in `Overview`, for one source."""
        try:
            return (await self._cursors(source))[1]
        except ApiError as error:
            raise explained(error, self._stream) from None

    async def stream(self) -> dict[str, Any]:
        """Size and age of the stream."""
        await stream_state(self._js, self._stream)
        try:
            state = (await self._js.stream(self._stream))["state"]
        except ApiError as error:
            raise explained(error, self._stream) from None
        return {key: state[key] for key in ("messages", "bytes", "first_seq", "last_seq", "first_ts", "last_ts")}

    async def claims(self, sources: Sequence[str]) -> dict[str, Claim]:
        """The leases that are held of these sources; one question for all. Never raises NoAnswer.

        Empty, too, where the bucket is missing or this user may not read it: no daemon has run yet, or it is the
        business of the daemon's user alone.
        """
        try:
            found = await look(self._leases, self._names, sources)
        except NoAnswer:
            return {}
        return {source: seen.claim for source, seen in found.items() if seen.claim is not None}

    async def _source(self, vendor: str, source: str) -> Overview:
        view = Overview(source, vendor)
        owner = await self._last(owner_subject(source))
        if owner is not None:
            view.owner = _object(owner)
        own = f"{EVENTS}.bridge.{token(source)}"
        told = await self._last(f"{own}.source.*.{token(source)}")
        if told is not None:
            view.condition = told.subject.split(".")[4]
            after = _after(told)
            view.reason = str(after.get("reason") or "")
            view.half = _string(after.get("half")) or ""
            view.failing_since = _string(after.get("failing_since"))
            view.again = _string(after.get("again"))
            view.since = _observed(told)
        view.walks, view.subscriptions = await self._cursors(source)
        last = await self._last(f"{EVENTS}.{token(vendor)}.{token(source)}.>")
        if last is not None:
            view.last_event = {"subject": last.subject, "seq": last.seq, "observed": _observed(last)}
        view.quarantined = sum((await self._subjects(f"{own}.quarantine.>")).values())
        aside = await self._last(f"{own}.quarantine.>")
        if aside is not None:
            view.last_quarantine = {"observed": _observed(aside), "reason": _after(aside).get("reason")}
        view.open_gaps = await self._open_gaps(own)
        return view

    async def _cursors(self, source: str) -> tuple[dict[str, dict[str, Json]], dict[str, dict[str, Json]]]:
        """Those of walks, and those of subscriptions."""
        walks: dict[str, dict[str, Json]] = {}
        subscriptions: dict[str, dict[str, Json]] = {}
        prefix = cursor_subject(source, "").removesuffix("=")
        for subject in await self._subjects(f"{prefix}*"):
            cursor = await self._last(subject)
            if cursor is None:
                continue
            walk = _text(subject.removeprefix(prefix))
            named = subscription_of(walk)
            if named is None:
                walks[walk] = _object(cursor)
            else:
                subscriptions[named] = _object(cursor)
        return walks, subscriptions

    async def _open_gaps(self, own: str) -> list[dict[str, Json]]:
        subjects = [subject.split(".") for subject in await self._subjects(f"{own}.gap.>")]
        closed = {tokens[-1] for tokens in subjects if tokens[4] == "closed"}
        still = sorted({tokens[-1] for tokens in subjects} - closed)
        found = [await self._last(f"{own}.gap.*.{id_}") for id_ in still[:MOST_GAPS]]
        # One may have been closed while we read.
        gaps = [_after(gap) for gap in found if gap is not None and ".gap.opened." in gap.subject]
        return sorted(gaps, key=lambda gap: str(gap.get("from")))

    async def _last(self, subjects: str) -> Message | None:
        return await self._js.get(self._stream, {"last_by_subj": subjects})

    async def _subjects(self, subjects: str) -> dict[str, int]:
        found: dict[str, int] = (await self._js.stream(self._stream, subjects=subjects))["state"].get("subjects") or {}
        return found


def _observed(message: Message) -> str | None:
    """When the bridge observed it: carried in the event itself."""
    return attributes_of(message.headers, _object(message)).get("observedtime")


def _text(subject_token: str) -> str:
    """What a subject token stands for; itself if it is hashed or somebody else spelt it."""
    try:
        return untoken(subject_token) or subject_token
    except ValueError:
        return subject_token


def _after(message: Message) -> dict[str, Json]:
    data = data_of(message.headers, _object(message))
    after = data.get("after") if isinstance(data, dict) else None
    return after if isinstance(after, dict) else {}


def _string(value: Json) -> str | None:
    """An older build leaves it out."""
    return value if isinstance(value, str) and value else None


def _object(message: Message) -> dict[str, Json]:
    try:
        value = wire.decode(message.payload)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
