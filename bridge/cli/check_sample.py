"""`bridged check --sample FILE`: which events a webhook's delivery would make, or why none. Nothing is sent or stored.

FILE is JSON: the body of a delivery; or, where the headers matter, `{"headers": {…}, "body": …, "query": {…}}`. The
signature is not looked at, so a sample may be old, or made by hand.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge.adapter import Adapter, BridgeError, Record, WebhookSettings
from bridge.cli import output
from bridge.cli.exits import Exit
from bridge.cli.plain import plain
from bridge.core.canonical import legible
from bridge.core.errors import Malformed
from bridge.core.hooks import standard, strict
from bridge.core.hooks.keys import VerifyEd25519
from bridge.core.hooks.verification import Shown
from bridge.core.omit import omit, parse
from bridge.core.record import Json, Key
from bridge.core.secret import Masker
from bridge.core.subject import event_subject
from bridge.engine.deliveries import frames
from bridge.engine.hooks import MOST_FRAMES

if TYPE_CHECKING:
    from bridge.edge.config.loader import Config

LARGEST = 64 << 20
"""Bytes of a file. Whether a delivery of its size is taken is another question."""
PARTS = {"headers", "body", "query"}


class BadSample(BridgeError):
    """The sample cannot be tried. The text says why."""


def run(args: argparse.Namespace, config: Config) -> int:
    """Print what it would make. 65 where a delivery would be refused or quarantined; 64 where no source is meant."""
    source = _source(config, args.source)
    if isinstance(source, str):
        output.complain(source)
        return Exit.USAGE
    masker = Masker(config.secrets)
    told: dict[str, Any] = {"source": source.name, "events": [], "problem": None}
    try:
        shown = _shown(Path(args.sample), source)
        told["events"] = [masker.mask_tree(event) for event in events(config.adapter(source), source, shown)]
    except (BadSample, BridgeError) as error:
        told["problem"] = masker.mask(str(error))
    if args.json:
        output.emit(told)
    else:
        _show(told)
    return Exit.OK if told["problem"] is None else Exit.DATA


def events(adapter: Adapter[Any], source: WebhookSettings, shown: Shown) -> Iterator[dict[str, Json]]:
    """What the delivery would make. Raises Malformed for what would be quarantined, Unsupported for what is refused."""
    omits = [parse(path) for path in (adapter.omit if source.omit is None else source.omit)]
    told = frames(source.session(_Sample(source)), shown)
    many = sum(1 if isinstance(one, Malformed) else source.tables.count(one) for one in told)
    if many > MOST_FRAMES:
        raise BadSample(f"{many} events, and {MOST_FRAMES} are taken at once: it would be answered with 413")
    for frame in told:
        if isinstance(frame, Malformed):
            raise frame
        records = (one for one in adapter.live(frame) if isinstance(one, Record))
        yield from (_event(adapter, source, record, omits) for record in records)


def _event(
    adapter: Adapter[Any], source: WebhookSettings, record: Record, omits: Sequence[tuple[str, ...]]
) -> dict[str, Json]:
    change = "occurred" if record.occurred else "deleted" if record.gone else "created or updated"
    key = Key(adapter.vendor, source.name, record.entity, record.id)
    return {
        "subject": event_subject(key, change.replace("created or updated", "updated")),
        "entity": record.entity,
        "change": change,
        "id": record.id,
        "version": record.version,
        "at_ms": record.at_ms,
        "after": omit(record.after, omits),
    }


class _Sample:
    """Implements `Proof` for a delivery that nobody has sent."""

    challenge = ""
    key_pairs = False

    def __init__(self, source: WebhookSettings) -> None:
        self.signs = source.verify == "standard"
        self._prefix = source.header_prefix.lower() if source.verify == "standard" else standard.PREFIX

    def delivery_id(self, shown: Shown) -> str:
        return shown.headers.get(f"{self._prefix}-id", "")

    def signed_at(self, shown: Shown) -> str:  # noqa: ARG002
        return ""

    def check(self, shown: Shown, now_ms: int, ed25519: VerifyEd25519 | None) -> None:
        """Nothing is proven by a file."""


def _source(config: Config, name: str | None) -> WebhookSettings | str:
    takers = {one.name: one for one in config.sources if isinstance(one, WebhookSettings)}
    if name is not None:
        return takers.get(name) or f"no source called {name} takes webhooks; there are: {', '.join(takers) or 'none'}"
    if len(takers) != 1:
        return f"say by --source which source is meant: {', '.join(takers)}" if takers else "no source takes webhooks"
    return next(iter(takers.values()))


def _shown(path: Path, source: WebhookSettings) -> Shown:
    try:
        with path.open("rb") as stream:
            data = stream.read(LARGEST + 1)
    except OSError as error:
        raise BadSample(f"{path} cannot be read: {error.strerror or type(error).__name__}") from None
    if len(data) > LARGEST:
        raise BadSample(f"{path} is larger than {LARGEST >> 20} MiB")
    try:
        value = strict.decode(data)
    except Malformed as error:
        raise BadSample(f"{path}: {error}") from None
    whole = isinstance(value, dict) and "headers" in value and value.keys() <= PARTS
    headers, query, body = _parts(value) if whole else ({}, {}, data)
    limit = source.max_body_kb << 10
    if len(body) > limit:
        raise BadSample(f"the body is longer than {limit} bytes: it would be answered with 413; see max_body_kb")
    return Shown(headers, query, body)


def _parts(value: Mapping[str, Json]) -> tuple[Mapping[str, str], Mapping[str, str], bytes]:
    headers, query, body = value["headers"], value.get("query", {}), value.get("body")
    for name, texts in (("headers", headers), ("query", query)):
        if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
            raise BadSample(f"{name} is to be an object of texts")
    return {name.lower(): text for name, text in headers.items()}, query, legible(body) if "body" in value else b""


def _show(told: Mapping[str, Any]) -> None:
    if told["problem"] is not None:
        output.say(plain(f"source {told['source']}: no event: {told['problem']}"))
        return
    if not told["events"]:
        output.say(f"source {told['source']}: confirmed, and nothing is published: a table drops it")
    for event in told["events"]:
        output.say(plain(event["subject"]))
        rows = [(name, output.compact(event[name])) for name in ("change", "id", "version", "at_ms", "after")]
        output.columns([(name, plain(text)) for name, text in rows])
