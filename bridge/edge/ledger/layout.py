"""The stream and the view on the server: made where missing, compared with their shapes, never altered."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from bridge.core.errors import Away, Unfit
from bridge.core.head import ce_id_of
from bridge.core.record import Json, version_order
from bridge.core.subject import EVENTS, LIVE, OWNER
from bridge.edge.ledger.confirm import confirmed
from bridge.edge.ledger.doubt import SINCE, WHY
from bridge.edge.ledger.shape import (
    STATE_CHANGES,
    Difference,
    LedgerNames,
    differences,
    lease_config,
    lease_differences,
    origin,
    state_config,
    state_differences,
    stream_config,
    stream_differences,
    telemetry_config,
    telemetry_differences,
)
from bridge.edge.nats.jetstream import (
    NOT_ENABLED,
    NOT_ENABLED_FOR_ACCOUNT,
    STREAM_DIFFERS,
    STREAM_NOT_FOUND,
    SUBJECTS_OVERLAP,
    ApiError,
    JetStream,
    NoAnswer,
    Nobody,
)

__all__ = [
    "BOUND",
    "LIVE",
    "STATE_CHANGES",
    "Difference",
    "JetStreamOff",
    "Layout",
    "LayoutDiffers",
    "LayoutError",
    "LayoutMissing",
    "LayoutRefused",
    "LedgerNames",
    "ServerTooOld",
    "check_version",
    "differences",
    "establish",
    "establish_leases",
    "establish_telemetry",
    "lease_config",
    "lease_differences",
    "remove_view",
    "state_config",
    "state_differences",
    "stream_config",
    "stream_differences",
    "telemetry_config",
    "telemetry_differences",
]  # fmt: skip

BOUND = "bridged.stream.created"
"""In the view's metadata: which life of the stream it was made from."""
OLDEST_SERVER = (2, 12, 0)

log = structlog.get_logger()

_STRANGER = "it was made from a stream that is gone: remove it, and make it anew"


class LayoutError(Unfit):
    """The server is not what the bridge needs, and only an operator can change that."""


class ServerTooOld(LayoutError):
    """The server lacks atomic batches."""


class JetStreamOff(LayoutError):
    """The server, or this account, has no JetStream."""


class LayoutMissing(LayoutError):
    """A stream is missing and may not be made."""


class LayoutRefused(LayoutError):
    """The server refused to make a stream."""


class LayoutDiffers(LayoutError):
    """A stream exists and is not what it must be. `differences` names every field."""

    def __init__(self, differences: Sequence[Difference]) -> None:
        lines = "".join(f"\n  {difference}" for difference in differences)
        super().__init__(f"{len(differences)} setting(s) on the NATS server differ; nothing was changed:{lines}")
        self.differences = tuple(differences)


def check_version(version: str) -> None:
    """Raises ServerTooOld for a server before 2.12, and for one that does not tell its version."""
    match = re.match(r"v?(\d+)\.(\d+)\.(\d+)", version)
    if match is None or tuple(map(int, match.groups())) < OLDEST_SERVER:
        raise ServerTooOld(
            f"the NATS server is version {version or 'unknown'}: bridged needs nats-server 2.12 or newer "
            "(atomic batches); upgrade the server, or set nats.url to a newer one"
        )


@dataclass(frozen=True, slots=True)
class Layout:
    """What was found: the life of the stream it describes, its end, and the largest message it takes (-1: any).

    `lost`: what the stream had lost, as far as it was found out now. `view_created`: which life of the view it is.
    """

    created: str
    last_seq: int
    max_msg_size: int
    lost: str = ""
    view_created: str = ""


async def establish(
    js: JetStream, names: LedgerNames, lost: Callable[[], Awaitable[str]] | None = None, known_view: str = ""
) -> Layout:
    """Make what is missing (`manage = "create"`) and verify the rest; alters nothing that exists.

    A view that was made from another life of the stream, or knows of what the stream has lost, is made anew; with
    replicas only after it has been found so several times. `lost` tells what else shows that the stream has lost
    something; `known_view` is the view's `created` at a time when it had not: another process may have acted since.
    Raises JetStreamOff, LayoutDiffers (with the differences of both streams), LayoutMissing and LayoutRefused; Away
    when JetStream does not answer.
    """
    await _check_enabled(js)
    ledger = await _one(js, names, stream_config(names))
    differing = stream_differences(names, ledger["config"])
    view = await _look(js, names.state_stream)
    if differing:
        # The view is not made beside a stream that is not ours, but if it is there, its faults are named too.
        raise LayoutDiffers(differing + (state_differences(names, view["config"]) if view else []))
    try:
        wrong = "" if view is None else await confirmed(lambda: _why_wrong(js, names), ledger["config"])
        gone = wrong or ("" if lost is None else await confirmed(lost, ledger["config"]))
    except ApiError as error:
        # While its replicas elect a leader, a stream that is there cannot be read.
        raise Away(f"the view cannot be compared with its stream now: {error}") from None
    notes = {BOUND: ledger["created"]}
    if gone and not (view is not None and view["created"] != known_view and _notes(view).get(WHY)):
        # Otherwise somebody else has found it out, and has made the view anew.
        wrong = gone
    if wrong and names.manage == "create":
        log.warning("view.remade", view=names.state_stream, reason=wrong)
        notes |= {WHY: wrong, SINCE: "" if view is None else await _kept_until(js, names, ledger, view)}
        if view is not None:
            await remove_view(js, names)
        view = None
    elif view is None and ledger["state"]["last_seq"] and names.manage == "create":
        # Who removed it may have known that the stream had lost its end, and may not have lived to say so.
        why = f"the view {names.state_stream} was missing, so nobody can tell whether the stream has lost its end"
        log.warning("view.remade", view=names.state_stream, reason=why)
        notes |= {WHY: why, SINCE: ledger["state"]["last_ts"]}
    if view is None:
        view = await _one(js, names, {**state_config(names), "metadata": notes})
        if wrong:
            await _must_be_right(js, names)
    differing = state_differences(names, view["config"])
    if wrong and names.manage == "verify":
        differing.append(Difference(names.state_stream, "content", f"made from {names.stream}", wrong, _STRANGER))
    if differing:
        raise LayoutDiffers(differing)
    ends, largest = ledger["state"]["last_seq"], ledger["config"].get("max_msg_size", -1)
    return Layout(ledger["created"], ends, largest, gone, view["created"])


async def establish_telemetry(js: JetStream, names: LedgerNames) -> Layout:
    """Make the telemetry stream if it is missing (`manage = "create"`), and verify it. Raises as `establish` does."""
    stream = await _one(js, names, telemetry_config(names))
    differing = telemetry_differences(names, stream["config"])
    if differing:
        raise LayoutDiffers(differing)
    return Layout(stream["created"], stream["state"]["last_seq"], stream["config"].get("max_msg_size", -1))


async def establish_leases(js: JetStream, names: LedgerNames) -> None:
    """Make the bucket of leases if it is missing (`manage = "create"`), and verify it. Raises as `establish` does."""
    await _check_enabled(js)
    bucket = await _one(js, names, lease_config(names))
    differing = lease_differences(names, bucket["config"])
    if differing:
        raise LayoutDiffers(differing)


async def remove_view(js: JetStream, names: LedgerNames) -> None:
    """Delete the view, which is only a cache: `establish` makes it anew from the stream. Raises Away."""
    try:
        await js.call(f"STREAM.DELETE.{names.state_stream}")
    except ApiError as error:
        if error.err_code != STREAM_NOT_FOUND:
            raise Away(f"the view could not be removed: {error}") from None


async def _why_wrong(js: JetStream, names: LedgerNames) -> str:
    """Why the view is not one of this stream as it is now; "" if nothing speaks against it."""
    view = await js.stream(names.state_stream)
    last = await js.get(names.state_stream, {"last_by_subj": names.state_subject(">")})
    # Asked after the view, which by then holds nothing that the stream does not.
    ledger = await js.state(names.stream)
    # A view made by an operator is bound to no life of the stream.
    if _notes(view).get(BOUND, ledger.created) != ledger.created:
        return f"stream {names.stream} was made anew; the view was made from one that is gone"
    seq, end = 0 if last is None else origin(last.headers)[0], ledger.last_seq
    if last is None or not seq:
        return ""
    # Entries come in the stream's order, so the last one tells of all: whether the stream ever went on from there.
    if seq > end:
        return f"stream {names.stream} has lost its end: it ends at {end}, and the view knows of {seq}"
    there = await js.get(names.stream, {"seq": seq})
    if there is None:
        oldest = await js.get(names.stream, {"next_by_subj": f"{EVENTS}.>", "seq": 1})
        if oldest is None or oldest.seq > seq:
            # Aged out. What never does is the record that a source's owner writes before anything else.
            if await js.get(names.stream, {"last_by_subj": f"{OWNER}.>"}) is not None:
                return ""
            return f"stream {names.stream} was purged: no source has an owner record there"
    elif ce_id_of(there.headers) == ce_id_of(last.headers):
        return ""
    return f"stream {names.stream} has lost its end and gone on: the view knows of another event at {seq}"


async def _must_be_right(js: JetStream, names: LedgerNames) -> None:
    """Away while a view that was just made anew is not there, or is wrong."""
    try:
        still = await _why_wrong(js, names)
    except ApiError as error:
        # Another instance has found the same, and is making it anew, too.
        raise Away(f"the view was made anew, and cannot be read now: {error}") from None
    if still:
        # A server that has not yet put away the files of a view removed before lets the next one find them.
        raise Away(f"the view was removed, and is back as it was: {still}")


async def _kept_until(js: JetStream, names: LedgerNames, ledger: Json, view: Json) -> str:
    """When the last message was stored that is left of the time that the view knew of (RFC 3339): what came after it is
    lost, up to now. Where nothing is left of it, the last that the view knew of. Raises Away."""
    known, state = view["state"]["last_ts"], ledger["state"]
    if state["messages"] and version_order(ledger.get("ts") or state["last_ts"]) < version_order(known):
        # The server's clock was put back: what came since may look older than what was lost.
        return str(state["first_ts"])
    found, low, high = "", state["first_seq"], state["last_seq"]
    # What is left is older than what was lost, and what was stored since is younger: times grow with sequences.
    while low <= high:
        middle = (low + high) // 2
        try:
            message = await js.get(names.stream, {"next_by_subj": ">", "seq": middle})
        except ApiError as error:
            raise Away(f"the stream cannot be read now: {error}") from None
        if message is None or message.seq > high or version_order(message.time) > version_order(known):
            high = middle - 1
        else:
            found, low = message.time, message.seq + 1
    return found or known


def _notes(view: Json) -> Mapping[str, str]:
    """The view's metadata."""
    return view["config"].get("metadata") or {}


async def _check_enabled(js: JetStream) -> None:
    try:
        await js.call("INFO")
    except Nobody:
        if js.server_has_it or js.elsewhere:
            raise
        raise JetStreamOff(
            "the NATS server runs without JetStream: start it with JetStream (`jetstream {}` in its configuration), "
            "or set nats.domain to where JetStream is"
        ) from None
    except ApiError as error:
        if error.err_code in (NOT_ENABLED, NOT_ENABLED_FOR_ACCOUNT):
            raise JetStreamOff(
                "the NATS server has JetStream switched off for this account: "
                "enable it in the server's configuration (`jetstream {}`), or use another account"
            ) from None
        raise Away(str(error)) from None


async def _look(js: JetStream, stream: str) -> Any:
    try:
        return await js.stream(stream)
    except ApiError as error:
        if error.err_code == STREAM_NOT_FOUND:
            return None
        raise Away(str(error)) from None


async def _one(js: JetStream, names: LedgerNames, config: Mapping[str, Json]) -> Any:
    name = config["name"]
    found = await _look(js, name)
    if found is not None:
        return found
    if names.manage == "verify":
        raise LayoutMissing(
            f'stream {name} is missing and nats.manage is "verify": create it, or set nats.manage to "create"'
        )
    try:
        return await js.call(f"STREAM.CREATE.{name}", config)
    except NoAnswer as error:
        raise Away(f"stream {name} is missing and could not be made: {error}") from None
    except ApiError as error:
        if error.err_code == STREAM_DIFFERS:
            # Another instance was faster; what it made is compared like any other.
            found = await _look(js, name)
            if found is not None:
                return found
            raise Away(f"stream {name} was there, and is gone again") from None
        if error.code >= 500 and error.err_code not in (SUBJECTS_OVERLAP,):
            raise Away(f"stream {name} could not be made now: {error}") from None
        hint = {
            SUBJECTS_OVERLAP: "another stream takes one of its subjects: " + ", ".join(config.get("subjects", ()))
        }.get(error.err_code, "see the server's answer")
        raise LayoutRefused(f"stream {name} could not be made: {hint} ({error})") from None
