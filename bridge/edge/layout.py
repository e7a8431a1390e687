"""The stream and the view as they must be on the server: made where missing, compared field by field, never altered.

The shapes are the contract of the project's design; the comparison is pure (`differences`), the rest asks the server.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bridge.core.errors import Away, Unfit
from bridge.core.record import Json
from bridge.core.subject import CURSOR, EVENTS, INGEST, OWNER
from bridge.edge.jetstream import (
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

BOUND = "bridged.stream.created"
"""In the view's metadata: which life of the stream it was made from."""
OLDEST_SERVER = (2, 12, 0)
LIVE = "live"
STATE_CHANGES = ("created", "updated", "deleted", "snapshot")
"""The changes the view is made of. `occurred` never changes, so it is no state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerNames:
    """How things are called on the server, and the few values an operator may choose.

    `manage`: `create` makes what is missing, `verify` only looks. `max_age_s`: how long events are kept.
    """

    stream: str = "BRIDGE"
    state_bucket: str = "bridge-state"
    replicas: int = 1
    max_age_s: float = 90 * 86_400
    domain: str | None = None
    api_prefix: str = "$JS.API"
    manage: Literal["create", "verify"] = "create"

    @property
    def api(self) -> str:
        """The prefix of JetStream's API subjects."""
        return f"$JS.{self.domain}.API" if self.domain else self.api_prefix

    @property
    def state_stream(self) -> str:
        """The stream behind the view."""
        return f"KV_{self.state_bucket}"

    def state_subject(self, key: str) -> str:
        """Where an entry of the view lies, by its key."""
        return f"$KV.{self.state_bucket}.{key}"


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


@dataclass(frozen=True, slots=True)
class Difference:
    """One field of one stream that is not what it must be, and what to do about it."""

    stream: str
    field: str
    expected: Json
    found: Json
    advice: str

    def __str__(self) -> str:
        return f"{self.stream}: {self.field} is {self.found!r}, must be {self.expected!r}: {self.advice}"


class LayoutDiffers(LayoutError):
    """A stream exists and is not what it must be. `differences` names every field."""

    def __init__(self, differences: Sequence[Difference]) -> None:
        lines = "".join(f"\n  {difference}" for difference in differences)
        super().__init__(f"{len(differences)} setting(s) on the NATS server differ; nothing was changed:{lines}")
        self.differences = tuple(differences)


def stream_config(names: LedgerNames) -> dict[str, Json]:
    """The ledger's stream. No limit but age: any other would evict cursors, TTL or not."""
    return {
        "name": names.stream,
        "description": "bridged: events, cursors and owners",
        "subjects": [f"{INGEST}.>", f"{CURSOR}.>", f"{OWNER}.*"],
        "storage": "file",
        "retention": "limits",
        "discard": "old",
        "num_replicas": names.replicas,
        "max_age": int(names.max_age_s * 1_000_000_000),
        "max_bytes": -1,
        "max_msgs": -1,
        "max_msgs_per_subject": -1,
        "allow_atomic": True,
        "allow_msg_ttl": True,
        "allow_rollup_hdrs": True,
        "allow_direct": True,
        "subject_transform": {"src": f"{INGEST}.>", "dest": f"{EVENTS}.>"},
        "republish": {"src": f"{EVENTS}.>", "dest": f"{LIVE}.>"},
    }


def state_config(names: LedgerNames) -> dict[str, Json]:
    """The view: one source, so that an entity's events keep their order; the server does the work.

    It has no subjects of its own: nobody can write to it but the server.
    """
    wildcards = ".".join(f"{{{{wildcard({n})}}}}" for n in (1, 2, 3, 4))
    transforms = [
        {"src": f"{EVENTS}.*.*.*.{change}.*", "dest": names.state_subject(wildcards)} for change in STATE_CHANGES
    ]
    return {
        "name": names.state_stream,
        "description": "bridged: the last event of every entity, made from the stream",
        "storage": "file",
        "retention": "limits",
        "discard": "new",
        "num_replicas": names.replicas,
        "max_age": 0,
        "max_bytes": -1,
        "max_msgs": -1,
        "max_msgs_per_subject": 1,
        "allow_rollup_hdrs": True,
        "allow_direct": True,
        "deny_delete": True,
        "sources": [{"name": names.stream, "subject_transforms": transforms}],
    }


_ALTER = "alter it with `nats stream edit`, or remove the stream if what it holds may go"
_REMAKE = "it cannot be altered: copy what you need, remove the stream and start again"
_CONFIGURE = "alter it with `nats stream edit`, or set [nats] to what the server has"
_EVICTS = "this limit evicts cursors and history: remove it, or use `discard: new` with max_bytes"

_STRANGER = "it was made from a stream that is gone: remove it, and make it anew"

_ADVICE = {
    "storage": _REMAKE,
    "retention": _REMAKE,
    "num_replicas": _CONFIGURE,
    "max_age": _CONFIGURE,
    "max_bytes": _EVICTS,
    "max_msgs": _EVICTS,
    "max_msgs_per_subject": _EVICTS,
}
_STREAM_FIELDS = (
    "subjects", "storage", "retention", "num_replicas", "max_age", "max_bytes", "max_msgs", "max_msgs_per_subject",
    "allow_atomic", "allow_msg_ttl", "allow_rollup_hdrs", "allow_direct", "subject_transform", "republish",
    "sources", "mirror", "sealed",
)  # fmt: skip
_STATE_FIELDS = (
    "subjects", "storage", "retention", "num_replicas", "max_age", "max_bytes", "max_msgs", "max_msgs_per_subject",
    "allow_direct", "subject_transform", "sources", "mirror", "sealed",
)  # fmt: skip
_LIMITS = frozenset({"max_bytes", "max_msgs", "max_msgs_per_subject"})


def stream_differences(names: LedgerNames, found: Mapping[str, Json]) -> list[Difference]:
    """What the ledger's stream has otherwise than it must. Pure."""
    differing = differences(stream_config(names), found, _STREAM_FIELDS)
    if found.get("discard") == "new":
        # Then a full stream refuses new messages and evicts nothing.
        differing = [d for d in differing if d.field not in ("max_bytes", "max_msgs")]
    return differing


def state_differences(names: LedgerNames, found: Mapping[str, Json]) -> list[Difference]:
    """What the view's stream has otherwise than it must. Pure."""
    return differences(state_config(names), found, _STATE_FIELDS)


def differences(wanted: Mapping[str, Json], found: Mapping[str, Json], fields: Sequence[str]) -> list[Difference]:
    """Compare only `fields`: servers add defaults and, with each version, fields of their own. Pure."""
    return [
        Difference(wanted["name"], name, expected, actual, _ADVICE.get(name, _ALTER))
        for name in fields
        if (expected := _plain(name, wanted.get(name))) != (actual := _plain(name, found.get(name)))
    ]


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
    """What was found: the life of the stream it describes, its end, and the largest message it takes (-1: any)."""

    created: str
    last_seq: int
    max_msg_size: int


async def establish(js: JetStream, names: LedgerNames) -> Layout:
    """Make what is missing (`manage = "create"`) and verify the rest; alters nothing that exists.

    Raises JetStreamOff, LayoutDiffers (with the differences of both streams), LayoutMissing and LayoutRefused; Away
    when JetStream does not answer.
    """
    await _check_enabled(js)
    ledger = await _one(js, names, stream_config(names))
    differing = stream_differences(names, ledger["config"])
    if differing:
        # The view is not made beside a stream that is not ours, but if it is there, its faults are named too.
        view = await _look(js, names.state_stream)
        raise LayoutDiffers(differing + (state_differences(names, view["config"]) if view else []))
    wanted = {**state_config(names), "metadata": {BOUND: ledger["created"]}}
    view = await _one(js, names, wanted)
    if _bound_elsewhere(view["config"], ledger["created"]) and names.manage == "create":
        await remove_view(js, names)
        view = await _one(js, names, wanted)
    differing = state_differences(names, view["config"])
    if _bound_elsewhere(view["config"], ledger["created"]):
        found = view["config"]["metadata"][BOUND]
        differing.append(Difference(names.state_stream, BOUND, ledger["created"], found, _STRANGER))
    if differing:
        raise LayoutDiffers(differing)
    return Layout(ledger["created"], ledger["state"]["last_seq"], ledger["config"].get("max_msg_size", -1))


async def remove_view(js: JetStream, names: LedgerNames) -> None:
    """Delete the view, which is only a cache: `establish` makes it anew from the stream. Raises Away."""
    try:
        await js.call(f"STREAM.DELETE.{names.state_stream}")
    except ApiError as error:
        if error.err_code != STREAM_NOT_FOUND:
            raise Away(f"the view could not be removed: {error}") from None


def _bound_elsewhere(view: Mapping[str, Json], created: str) -> bool:
    """Whether the view was made for another life of the stream. One made by an operator is bound to none."""
    metadata: Mapping[str, str] = view.get("metadata") or {}
    return metadata.get(BOUND, created) != created


async def _check_enabled(js: JetStream) -> None:
    try:
        await js.call("INFO")
    except Nobody:
        if js.server_has_it:
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
            return await js.stream(name)
        if error.code >= 500 and error.err_code not in (SUBJECTS_OVERLAP,):
            raise Away(f"stream {name} could not be made now: {error}") from None
        hint = {
            SUBJECTS_OVERLAP: "another stream takes one of its subjects: " + ", ".join(config.get("subjects", ()))
        }.get(error.err_code, "see the server's answer")
        raise LayoutRefused(f"stream {name} could not be made: {hint} ({error})") from None


def _plain(name: str, value: Json) -> Json:
    """A field's value such that equal settings are equal, whatever the server fills in or leaves out."""
    if name in _LIMITS:
        return value if isinstance(value, int) and value > 0 else -1
    if name == "subjects":
        return sorted(value or [])
    if name == "sources":
        return [_source(source) for source in value or []]
    if name in ("subject_transform", "republish", "mirror"):
        return {key: item for key, item in (value or {}).items() if item} or None
    if name in ("storage", "retention"):
        return value
    return value or 0 if name in ("max_age", "num_replicas") else bool(value)


def _source(source: Mapping[str, Json]) -> Json:
    plain = {key: item for key, item in source.items() if item}
    transforms = plain.get("subject_transforms", [])
    plain["subject_transforms"] = sorted(transforms, key=lambda transform: str(transform.get("src")))
    return plain
