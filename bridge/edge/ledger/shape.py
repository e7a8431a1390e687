"""The shapes of stream and view on the server, and how a shape that was found differs from the one wanted. Pure.

The shapes are the contract of the project's design.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from bridge.core.record import Json
from bridge.core.subject import EVENTS, MAIN, OWNER, TELEMETRY, Lane

SOURCE = "Nats-Stream-Source"
"""Header of the view's entries, by which the server tells where they came from."""
LEASE_MARK_S = 60
"""How long the server remembers that a lease ran out. Nothing depends on it: watchers of the bucket see it."""
STATE_CHANGES = ("created", "updated", "deleted", "snapshot")
"""The changes the view is made of. `occurred` never changes, so it is no state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerNames:
    """How things are called on the server, and the few values an operator may choose.

    `manage`: `create` makes what is missing, `verify` only looks. `max_age_s`: how long events are kept.
    """

    stream: str = "BRIDGE"
    state_bucket: str = "bridge-state"
    lease_bucket: str = "bridge-leases"
    replicas: int = 1
    max_age_s: float = 90 * 86_400
    telemetry_stream: str = "BRIDGE_TELEMETRY"
    telemetry_max_age_s: float = 7 * 86_400
    domain: str | None = None
    api_prefix: str = "$JS.API"
    manage: Literal["create", "verify"] = "create"

    @property
    def api(self) -> str:
        """The prefix of JetStream's API subjects."""
        return f"$JS.{self.domain}.API" if self.domain else self.api_prefix

    @property
    def telemetry(self) -> LedgerNames:
        """The same names with the telemetry stream in the ledger's place."""
        return replace(self, stream=self.telemetry_stream, max_age_s=self.telemetry_max_age_s)

    @property
    def state_stream(self) -> str:
        """The stream behind the view."""
        return f"KV_{self.state_bucket}"

    def state_subject(self, key: str) -> str:
        """Where an entry of the view lies, by its key."""
        return f"$KV.{self.state_bucket}.{key}"

    @property
    def lease_stream(self) -> str:
        """The stream behind the bucket of leases."""
        return f"KV_{self.lease_bucket}"

    def lease_subject(self, key: str) -> str:
        """Where a lease lies, by its key."""
        return f"$KV.{self.lease_bucket}.{key}"


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


def stream_config(names: LedgerNames) -> dict[str, Json]:
    """The ledger's stream. No limit but age: any other would evict cursors, TTL or not."""
    return _lane_config(names, MAIN, "bridged: events, cursors and owners", [f"{OWNER}.*"])


def telemetry_config(names: LedgerNames) -> dict[str, Json]:
    """The stream of telemetry: the same layout under other prefixes, with an age of its own."""
    return _lane_config(names.telemetry, TELEMETRY, "bridged: telemetry and its cursors", [])


def _lane_config(names: LedgerNames, lane: Lane, description: str, more: list[str]) -> dict[str, Json]:
    return {
        "name": names.stream,
        "description": description,
        "subjects": [f"{lane.ingest}.>", f"{lane.cursor}.>", *more],
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
        "subject_transform": {"src": f"{lane.ingest}.>", "dest": f"{lane.events}.>"},
        "republish": {"src": f"{lane.events}.>", "dest": f"{lane.live}.>"},
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


def lease_config(names: LedgerNames) -> dict[str, Json]:
    """The bucket of leases: the server itself removes one that nobody renews. It outlives a restart of the server."""
    return {
        "name": names.lease_stream,
        "description": "bridged: which instance works for which source",
        "subjects": [names.lease_subject(">")],
        "storage": "file",
        "retention": "limits",
        "discard": "new",
        "num_replicas": names.replicas,
        "max_age": 0,
        "max_bytes": -1,
        "max_msgs": -1,
        "max_msgs_per_subject": 1,
        "allow_msg_ttl": True,
        "subject_delete_marker_ttl": LEASE_MARK_S * 1_000_000_000,
        "allow_rollup_hdrs": True,
        "allow_direct": True,
        "deny_delete": True,
    }


_ALTER = "alter it with `nats stream edit`, or remove the stream if what it holds may go"
_REMAKE = "it cannot be altered: copy what you need, remove the stream and start again"
_CONFIGURE = "alter it with `nats stream edit`, or set [nats] to what the server has"
_EVICTS = "this limit evicts cursors and history: remove it, or use `discard: new` with max_bytes"

_ADVICE = {
    "storage": _REMAKE,
    "retention": _REMAKE,
    "num_replicas": _CONFIGURE,
    "max_age": _CONFIGURE,
    "max_bytes": _EVICTS,
    "max_msgs": _EVICTS,
    "max_msgs_per_subject": _EVICTS,
    "sealed": _REMAKE,
    "mirror": _REMAKE,
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
_LEASE_FIELDS = (
    "subjects", "storage", "retention", "num_replicas", "max_age", "max_bytes", "max_msgs", "max_msgs_per_subject",
    "allow_msg_ttl", "allow_direct", "subject_transform", "sources", "mirror", "sealed",
)  # fmt: skip
_LIMITS = frozenset({"max_bytes", "max_msgs", "max_msgs_per_subject"})


def stream_differences(names: LedgerNames, found: Mapping[str, Json]) -> list[Difference]:
    """What the ledger's stream has otherwise than it must. Pure."""
    return _limited(differences(stream_config(names), found, _STREAM_FIELDS), found)


def _limited(differing: list[Difference], found: Mapping[str, Json]) -> list[Difference]:
    if found.get("discard") == "new":
        # Then a full stream refuses new messages and evicts nothing.
        differing = [d for d in differing if d.field not in ("max_bytes", "max_msgs")]
    return differing


def telemetry_differences(names: LedgerNames, found: Mapping[str, Json]) -> list[Difference]:
    """What the telemetry stream has otherwise than it must. Pure."""
    return _limited(differences(telemetry_config(names), found, _STREAM_FIELDS), found)


def state_differences(names: LedgerNames, found: Mapping[str, Json]) -> list[Difference]:
    """What the view's stream has otherwise than it must. Pure."""
    return differences(state_config(names), found, _STATE_FIELDS)


def lease_differences(names: LedgerNames, found: Mapping[str, Json]) -> list[Difference]:
    """What the bucket of leases has otherwise than it must. Pure."""
    return differences(lease_config(names), found, _LEASE_FIELDS)


def differences(wanted: Mapping[str, Json], found: Mapping[str, Json], fields: Sequence[str]) -> list[Difference]:
    """Compare only `fields`: servers add defaults and, with each version, fields of their own. Pure."""
    return [
        Difference(wanted["name"], name, expected, actual, _ADVICE.get(name, _ALTER))
        for name in fields
        if (expected := _plain(name, wanted.get(name))) != (actual := _plain(name, found.get(name)))
    ]


def limits_of(config: Mapping[str, Json]) -> str:
    """What may fill the stream, in words; "" where nothing does. Pure."""
    return " and ".join(f"{name} {config[name]}" for name in ("max_bytes", "max_msgs") if config.get(name, -1) > 0)


def origin(headers: Mapping[str, str]) -> tuple[int, str]:
    """The sequence and subject in the ledger's stream that an entry of the view came from; (0, "") for a stranger."""
    # `<stream> <sequence> <filters> <destinations> <subject>`
    parts = headers.get(SOURCE, "").split(" ")
    return (int(parts[1]), parts[4]) if len(parts) >= 5 and parts[1].isdigit() else (0, "")


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
