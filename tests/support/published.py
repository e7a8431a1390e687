"""What the daemons of this test process may publish, by their configurations; and whether they keep to it.

`Child` tells of each daemon that is started; `StreamReader` holds what it reads against their AsyncAPI documents.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from bridge.cli.asyncapi import report
from bridge.core.record import Json
from bridge.core.subject import token
from bridge.edge.config import loader
from bridge.edge.config.problem import ConfigErrors
from tests.support.contract import Contract

FIRST = 40
"""So many events of each kind are looked at, and then some."""
EVERY = 100
MOST = 1_500
"""At most so many by one reader: a validator of everything takes a third of a millisecond."""
REMEMBERED = 4
"""A source may be configured anew: what was published before keeps to what was said then."""


@dataclass(frozen=True, slots=True)
class _Configuration:
    path: Path
    text: str
    environ: tuple[tuple[str, str], ...]


_started: dict[str, list[_Configuration]] = {}
"""By the names of sources and alerts as subjects have them, the newest first."""


def started(arguments: Sequence[str], environ: Mapping[str, str]) -> None:
    """A command of the program is started; those that publish nothing do not matter."""
    if arguments[:1] != ["run"] or "--config" not in arguments:
        return
    path = Path(arguments[arguments.index("--config") + 1])
    try:
        text = path.read_text("utf-8")
        data = tomllib.loads(text)
    except (OSError, ValueError):
        return
    configuration = _Configuration(path, text, tuple(sorted(environ.items())))
    for table in (*data.get("source", []), *data.get("alert", [])):
        known = _started.setdefault(token(str(table.get("name"))), [])
        # Another test's source of that name is another one.
        known[:] = [one for one in known if one.path.parent == path.parent and one != configuration]
        known.insert(0, configuration)
        del known[REMEMBERED:]


@lru_cache(maxsize=64)
def _contract(configuration: _Configuration) -> Contract | None:
    """The document, compiled; None for a configuration that no daemon can have run with.

    The file may say something else by now than when the daemon was started.
    """
    path = configuration.path.with_name(f"{configuration.path.stem}-started.toml")
    path.write_text(configuration.text, "utf-8")
    try:
        config = loader.load(path, dict(configuration.environ), vendor_secrets=False)
    except ConfigErrors:
        return None
    finally:
        path.unlink()
    return Contract(report(config))


class Watch:
    """Of one reader of a stream: looks at all of the bridge's own events, and at some of all others."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()
        self.looked_at = 0
        self.violations: list[str] = []

    def see(self, subject: str, headers: Mapping[str, str], payload: Json) -> None:
        """One message as it lies in the stream; the payload as it is there, decoded."""
        kind, (_, vendor, source) = subject.rpartition(".")[0], subject.split(".")[:3]
        self._seen[kind] += 1
        rare = self._seen[kind] <= FIRST or self._seen[kind] % EVERY == 0
        if not (rare or vendor == "bridge") or self.looked_at >= MOST or source not in _started:
            return
        self.looked_at += 1
        found: list[str] = []
        for contract in filter(None, map(_contract, _started[source])):
            found = contract.complaints(subject, headers, payload)
            if not found:
                return
        self.violations += [f"{subject}: {what}" for what in found]

    def must_be_content(self) -> None:
        """Fails with everything that is not as a document says."""
        assert not self.violations, "not as the AsyncAPI document says:\n" + "\n".join(self.violations[:20])
