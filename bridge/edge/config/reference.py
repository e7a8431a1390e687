"""The configuration as a document for people, made from the declarations that the loader reads by.

`bridged schema --markdown` prints it; docs/configuration.md is that, of the adapters that are shipped.
"""

from __future__ import annotations

import dataclasses
import json
import re
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from bridge.core.alerts.settings import AlertSettings
from bridge.core.config import DaemonSettings, IngressSettings, NatsSettings, StatusSettings, TracingSettings
from bridge.core.reload import LOGGING
from bridge.core.settings import BaseSettings
from bridge.edge.config.convert import at_least, describe, fields_of, is_required, without_none
from bridge.edge.config.examples import example
from bridge.edge.config.schema import default_of
from bridge.edge.discovery import AdapterClass, summary

TABLES = {
    "nats": NatsSettings,
    "daemon": DaemonSettings,
    "ingress": IngressSettings,
    "status": StatusSettings,
    "tracing": TracingSettings,
}
"""What may stand once in the file."""

BY_RESTART = ("nats", "daemon", "status", "tracing")
"""The tables that a reload leaves as they were, but for `LOGGING`; see `bridge/core/reload.py`."""

_UNITS = {"_s": "seconds", "_days": "days", "_mb": "MiB", "_kb": "KiB", "_share": "share, 0 to 1", "_count": "entities"}
_UNIT_OF = {
    "max_connections": "connections", "max_in_flight": "deliveries", "replicas": "copies", "page_size": "rows",
    "history_page_size": "rows", "by_id_batch": "events", "burst": "requests", "ratio": "share, 0 to 1",
    "worth": "weight", "requests_per_minute": "requests a minute",
    "requests_per_hour": "requests an hour", "requests_per_30s": "requests in 30 s",
    "requests_per_block": "requests a block", "allowed_rate": "deliveries a minute",
}  # fmt: skip
_PIECES = re.compile(r"(`[^`]*`)")

_HEAD = """\
# Configuration

Every table and key. This page is made from the program's own declarations, so it holds what the program accepts:
`bridged schema --markdown > docs/configuration.md`. With adapters of your own (`$BRIDGED_ADAPTERS`) the command tells
of theirs, too; `bridged schema` prints the JSON Schema, for editors.

- The file is `--config FILE`, else `$BRIDGED_CONFIG`, else `/etc/bridged/bridged.toml`. Files in the folder `bridged.d`
  beside it are read after it, in the order of their names: their keys replace those given before, their `[[source]]`
  and `[[alert]]` tables are added.
- `bridged check` says what is wrong: each mistake with file, line, key and what was expected (exit code 78).
- A **secret reference** is one of `{ env = "NAME" }`, an environment variable; `{ file = "/path" }`, a file that holds
  nothing else; `{ credential = "name" }`, a systemd credential. A secret written into the file is refused. Only `run`,
  `check`, `introspect` and `alert test` need the vendors' secrets.
- `http://` and `ws://` to a vendor on another machine are refused, and so are a user name or password inside a URL.
- Relative paths begin at the file's folder.
- Under *default*, a dash means that the key may be left out and has none, **required** that it may not be left out.
- *Inferred* means that the vendor does not document it: check it with the vendor before relying on it.
- A reload (`systemctl reload bridged`, SIGHUP, `bridged reload`) takes over `[[source]]`, `[[alert]]` and `[ingress]`.
  What takes a restart says so.

[config/bridged.example.toml](../config/bridged.example.toml) is a file to begin with.
"""

_MORE = {
    "ingress": "webhooks.md", "status": "status.md", "alert": "alerts.md", "agyletime": "agyletime.md",
    "pcvisit": "subscriptions.md", "platform": "sessions.md", "prosonata": "prosonata.md", "webhook": "webhooks.md",
    "x_assist": "subscriptions.md",
}  # fmt: skip
"""Where a table is explained at length."""


def reference(adapters: Mapping[str, AdapterClass]) -> str:
    """The whole document, in Markdown, for these adapters by name."""
    parts = [_HEAD]
    for name, cls in TABLES.items():
        parts += _table(f"[{name}]", cls, _intro(name, cls))
    parts += _table("[[alert]]", AlertSettings, f"What to tell people at once.{_more('alert')}")
    common = "One table for each source. These keys every source has, whatever reads it."
    parts += _table("[[source]]", BaseSettings, common)
    shared: dict[type, str] = {}
    for name, adapter in sorted(adapters.items()):
        intro = f"{_escaped(summary(adapter))} All keys of [`[[source]]`](#source), and those below.{_more(name)}"
        parts += _table(f'adapter = "{name}"', adapter.Settings, intro, beside=BaseSettings, shared=shared)
    for cls, title in shared.items():
        parts += _table(title, cls, _sentence(cls))
    return "\n".join(parts)


def _intro(name: str, cls: type) -> str:
    text = _sentence(cls)
    if name not in BY_RESTART:
        return text + _more(name)
    kept = [key for key in fields_of(cls) if name == "daemon" and key in LOGGING]
    but = f", but for {' and '.join(f'`{key}`' for key in kept)}" if kept else ""
    return f"{text} A change takes a restart{but}.{_more(name)}"


def _more(name: str) -> str:
    return f" See [{_MORE[name]}]({_MORE[name]})." if name in _MORE else ""


def _sentence(cls: type) -> str:
    """The first paragraph of the class's documentation, without the name that it begins with."""
    text = " ".join((cls.__doc__ or "").split("\n\n")[0].split())
    # How it is handed to the program is nothing for those who write the file.
    text = re.sub(r" [^.]* once loaded\.", "", text)
    text = re.sub(r"^(?:One )?`\[+[a-z.]+\]+`(?: table)?: ", "", text)
    return _escaped(text[:1].upper() + text[1:])


def _table(
    title: str, cls: type, intro: str, *, beside: type | None = None, shared: dict[type, str] | None = None
) -> Iterator[str]:
    """A section: the keys of `cls` that are not as in `beside`, and behind it the tables inside.

    Those in `shared` stand elsewhere, once for all: a table that several adapters have is put there.
    """
    known = fields_of(beside) if beside else {}
    own = {name: both for name, both in fields_of(cls).items() if not _same(both, known.get(name))}
    yield f"## {title}\n"
    yield f"{intro}\n"
    yield "| key | type | default | unit | example | meaning |\n|---|---|---|---|---|---|"
    yield from (_row(cls, name, field, hint) for name, (field, hint) in own.items())
    yield ""
    for name, (_, hint) in own.items():
        for inner in _classes(hint):
            parent = "source" if beside else title.strip("[]")
            many = typing.get_origin(without_none(hint)) is list
            heading = f"[[{parent}.{name}]]" if many else f"[{parent}.{name}]"
            if shared is not None:
                shared.setdefault(inner, heading)
            else:
                yield from _table(heading, inner, _sentence(inner))


def _row(cls: type, name: str, field: dataclasses.Field[Any], hint: Any) -> str:
    default = default_of(field)
    shown = "**required**" if is_required(field) else "—" if default is None else _code(toml(default))
    text = field.metadata.get("doc", "")
    if field.metadata.get("inferred"):
        text += " (inferred)"
    cells = (
        f"`{name}`", _escaped(_type(field, hint)), shown, unit(name, hint), _code(example(cls, name, field, hint)),
        _escaped(text),
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def unit(name: str, hint: Any) -> str:
    """What a number counts, such as `seconds`; "" where it is no number."""
    hint = without_none(hint)
    if hint not in (int, float):
        return ""
    if name == "reserve":
        return "requests" if hint is int else "share, 0 to 1"
    return _UNIT_OF.get(name) or next((text for end, text in _UNITS.items() if name.endswith(end)), "")


def toml(value: Any) -> str:
    """A default as it would be written into the file."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + " }" if value else "{}"
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value, ensure_ascii=False)


def _type(field: dataclasses.Field[Any], hint: Any) -> str:
    where = {"file": "path of a file", "folder": "path of a folder"}.get(field.metadata.get("path", ""))
    text = where or describe(hint)
    least = at_least(field)
    return text if least is None else f"{text}, at least {least:g}"


def _same(one: tuple[dataclasses.Field[Any], Any], other: tuple[dataclasses.Field[Any], Any] | None) -> bool:
    if other is None:
        return False
    return one[1] == other[1] and default_of(one[0]) == default_of(other[0]) and one[0].metadata == other[0].metadata


def _classes(hint: Any) -> list[type]:
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return [hint]
    return [cls for part in typing.get_args(hint) for cls in _classes(part)]


def _code(text: str) -> str:
    return f"`{text}`".replace("|", "\\|") if text else ""


def _escaped(text: str) -> str:
    """Prose for a cell: nothing in it but what stands between backquotes is markup."""
    parts = _PIECES.split(text)
    plain = [re.sub(r"([*_<\[\]])", r"\\\1", part) if not index % 2 else part for index, part in enumerate(parts)]
    return "".join(plain).replace("|", "\\|")
