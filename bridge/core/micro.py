"""A NATS micro service as it shows itself: subjects, answers about itself, and a report cut to what one message holds.

Source: NATS ADR-32 (service API), version 1 of its messages. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bridge.core.event import timestamp
from bridge.core.record import Json
from bridge.core.subject import token

NAME = "bridged"
"""What all instances are called."""
DESCRIPTION = "Vendor events into NATS JetStream, each exactly once."
VERBS = ("PING", "INFO", "STATS")
CONTROL = "$SRV"
PREFIX = "bridge.srv"
"""Below it are the endpoints: only the bridge and its operators may publish `bridge.>`."""
ENDPOINTS = ("status", "reload")

ONLY = "Bridged-Id"
"""Header of a question that one instance alone is to answer, by its id: several may bear one name."""
PART = "Bridged-Part"
"""Header of an answer in parts, `2/3`: each is a whole report, with some of the sources."""
ERROR, ERROR_CODE = "Nats-Service-Error", "Nats-Service-Error-Code"
"""Headers of an answer that is an error."""

MOST_PARTS = 100
PART_BYTES = 262_144
"""A part is no larger, whatever the server takes: the ledger's answers come and go between two of them."""
_LONGEST_TEXT = 300
_MOST_PROBLEMS = 3

Encode = Callable[[Json], bytes]


def endpoint_subject(instance: str, endpoint: str) -> str:
    """Where one instance, whatever its name, is asked."""
    return f"{PREFIX}.{token(instance)}.{endpoint}"


def control_subjects(id_: str) -> dict[str, str]:
    """What a service listens to besides its endpoints; the verb that each subject stands for."""
    return {
        f"{CONTROL}.{verb}{rest}": verb for verb in VERBS for rest in ("", f".{NAME}", f".{NAME}.{id_}")
    }  # fmt: skip


def listened() -> list[str]:
    """The subjects that an instance, whatever its name, needs the permission to subscribe to."""
    control = [f"{CONTROL}.{verb}{rest}" for verb in VERBS for rest in ("", f".{NAME}", f".{NAME}.*")]
    return [*control, *(f"{PREFIX}.*.{endpoint}" for endpoint in ENDPOINTS)]


def grant(subject: str) -> str:
    """The permission, one of `listened`, that covers a subject of ours."""
    tokens = subject.split(".")
    if tokens[0] == CONTROL:
        return ".".join([*tokens[:3], *("*" for _ in tokens[3:])])
    return ".".join([*tokens[:2], "*", *tokens[3:]])


def asked() -> list[str]:
    """The subjects that who asks instances needs the permission to publish to."""
    return [f"{CONTROL}.INFO.{NAME}", *(f"{PREFIX}.*.{endpoint}" for endpoint in ENDPOINTS)]


def semantic(version: str) -> str:
    """A Python version as a semantic one, which is what a service must have: `1.2.0rc1` becomes `1.2.0-rc1`."""
    match = re.match(r"(\d+)(?:\.(\d+))?(?:\.(\d+))?(.*)", version)
    if match is None:
        return "0.0.0"
    release = ".".join(str(int(part or 0)) for part in match.groups()[:3])
    rest = re.sub(r"[^0-9A-Za-z]+", "-", match[4]).strip("-")
    return f"{release}-{rest}" if rest else release


@dataclass(frozen=True, slots=True)
class Identity:
    """Who answers. `id`: of this life alone. `metadata`: texts."""

    id: str
    instance: str
    version: str
    metadata: Mapping[str, str]
    started_ms: int


@dataclass(slots=True)
class Tally:
    """What happened at one endpoint so far."""

    endpoint: str
    subject: str
    requests: int = 0
    errors: int = 0
    last_error: str = ""
    busy_ns: int = 0
    data: Json = field(default_factory=dict)


def ping(identity: Identity) -> dict[str, Json]:
    """The answer to PING."""
    return _about(identity, "ping")


def info(identity: Identity, tallies: Iterable[Tally]) -> dict[str, Json]:
    """The answer to INFO."""
    return {
        **_about(identity, "info"),
        "description": DESCRIPTION,
        "endpoints": [
            {"name": one.endpoint, "subject": one.subject, "queue_group": "", "metadata": {}} for one in tallies
        ],
    }


def stats(identity: Identity, tallies: Iterable[Tally]) -> dict[str, Json]:
    """The answer to STATS. Times are in nanoseconds."""
    return {
        **_about(identity, "stats"),
        "started": timestamp(identity.started_ms),
        "endpoints": [
            {
                "name": one.endpoint,
                "subject": one.subject,
                "queue_group": "",
                "num_requests": one.requests,
                "num_errors": one.errors,
                "last_error": one.last_error,
                "processing_time": one.busy_ns,
                "average_processing_time": one.busy_ns // one.requests if one.requests else 0,
                "data": one.data,
            }
            for one in tallies
        ],
    }


def _about(identity: Identity, what: str) -> dict[str, Json]:
    return {
        "type": f"io.nats.micro.v1.{what}_response",
        "name": NAME,
        "id": identity.id,
        "version": identity.version,
        "metadata": dict(identity.metadata),
    }


def parts(report: Mapping[str, Json], room: int, encode: Encode) -> list[bytes]:
    """A report as messages of at most `room` bytes, each a whole report with some of the sources, in their order.

    Where that takes too many, or a source alone does not fit, sources are told in brief: `shortened` is true there.
    Latest events go with the first part alone. [] if even a brief source does not fit: `room` is absurd.
    """
    given = report.get("sources")
    sources = [source for source in given if isinstance(source, dict)] if isinstance(given, list) else []
    head = {key: value for key, value in report.items() if key != "sources"}
    rest = {key: [] if key == "events" else value for key, value in head.items()}
    for first, later in ((head, rest), (rest, rest), ({**rest, "alerts": []},) * 2):
        heads = encode(first)[:-1], encode(later)[:-1]
        if max(map(len, heads)) <= room // 2:
            break
    else:
        return []
    whole = [encode(source) for source in sources]
    found = _cut(heads, [text if _fits(text, heads, room) else encode(_brief(sources[at])) for at, text in
                         enumerate(whole)], room)  # fmt: skip
    if len(found) > MOST_PARTS:
        found = _cut(heads, [encode(_brief(source)) for source in sources], room)
    return found if all(len(part) <= room for part in found) else []


_OPEN, _CLOSE = b',"sources":[', b"]}"


def _fits(source: bytes, heads: tuple[bytes, bytes], room: int) -> bool:
    return max(map(len, heads)) + len(_OPEN) + len(source) + len(_CLOSE) <= room


def _cut(heads: tuple[bytes, bytes], sources: Sequence[bytes], room: int) -> list[bytes]:
    found: list[bytes] = []
    now: list[bytes] = []
    size = fixed = len(heads[0]) + len(_OPEN) + len(_CLOSE)
    for source in sources:
        if now and size + len(source) + 1 > room:
            found.append(_join(heads[min(1, len(found))], now))
            now, fixed = [], len(heads[1]) + len(_OPEN) + len(_CLOSE)
            size = fixed
        now.append(source)
        size += len(source) + 1
    return [*found, _join(heads[min(1, len(found))], now)]


def _join(head: bytes, sources: Sequence[bytes]) -> bytes:
    return head + _OPEN + b",".join(sources) + _CLOSE


def _brief(source: Mapping[str, Json]) -> dict[str, Json]:
    """All its keys, with texts cut and what is nested left out, but for the first problems."""
    problems = source.get("problems")
    told: list[Json] = [_short(one) for one in problems[:_MOST_PROBLEMS]] if isinstance(problems, list) else []
    brief = {key: _short(value) for key, value in source.items()}
    return {**brief, "problems": told, "shortened": True}


def _short(value: Json) -> Json:
    if isinstance(value, str):
        return value if len(value) <= _LONGEST_TEXT else f"{value[: _LONGEST_TEXT - 1]}…"
    if isinstance(value, list):
        return []
    return None if isinstance(value, dict) else value


def joined(reports: Sequence[Mapping[str, Json]]) -> dict[str, Json]:
    """The report whose parts these are, in their order."""
    sources: list[Json] = []
    for report in reports:
        more = report.get("sources")
        sources += more if isinstance(more, list) else []
    return {**reports[0], "sources": sources}
