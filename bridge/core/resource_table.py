"""What a `[[source.resource]]` table may say of a polled collection; `bridge/core/resource.py` makes one of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from bridge.core.settings import setting

Deletion = Literal["confirm", "ignore"]

_CENTURY_S = 100 * 365 * 86_400.0
_TIMES = ("every_s", "reach_s", "ahead_s", "slow_every_s", "slow_reach_s", "overlap_s", "probe_every_s")
MOST: Final = {**dict.fromkeys(_TIMES, _CENTURY_S), "worth": 1e6}
"""The largest value of keys that are times and the like: beyond it there are no dates, and TOML knows `inf`."""


@dataclass(frozen=True, kw_only=True)
class ResourceTable:
    """One `[[source.resource]]` table. What is left out is as shipped; a new name needs `entity`, `path`, `fields`."""

    name: str = setting(doc="unique name within the source: letters, digits, - and _; a shipped one is changed")
    enabled: bool | None = setting(None, doc="whether it is read at all")
    entity: str | None = setting(None, doc="what a row is called in our events, such as project")
    host: str | None = setting(None, doc="which of the vendor's hosts has it, in the adapter's words")
    path: str | None = setting(None, doc="path of the collection")
    one: str | None = setting(None, doc='path of one row, such as "projects/{id}"; empty: there is none')
    query: dict[str, str] | None = setting(None, doc="more query parameters, sent as they are")
    parts: dict[str, str] | None = setting(
        None, doc='what the vendor hides unless asked for is read in parts: active = "active=1", inactive = "active=0"'
    )
    id: str | None = setting(None, doc="path of the row's id")
    fields: dict[str, str] | None = setting(
        None, doc='what to publish: our name = "path" or "path as kind"; joins the shipped fields, "" takes one away'
    )
    version: str | None = setting(None, doc="path of the vendor's stamp of change, if it always moves; empty: none")
    at: str | None = setting(None, doc="path of when it happened; empty: unknown")
    dated: str | None = setting(None, doc="which of our fields the window goes by, such as started_at")
    window_from: str | None = setting(
        None, doc='query parameter of the window\'s begin, such as "from={datetime}" or "date=>{date}"; also {stamp} '
        "(local), {seconds}, {millis}; empty: read as a whole"
    )  # fmt: skip
    window_to: str | None = setting(None, doc="the same of its end; empty: the vendor takes none")
    every_s: float | None = setting(None, doc="how often it is read, or its short window", at_least=1)
    reach_s: float | None = setting(None, doc="how far back the short window goes", at_least=0)
    ahead_s: float | None = setting(None, doc="how far both windows reach into the future", at_least=0)
    slow_every_s: float | None = setting(None, doc="how often the long window is read; 0: never", at_least=0)
    slow_reach_s: float | None = setting(None, doc="how far back that goes; 0: everything is read", at_least=0)
    overlap_s: float | None = setting(None, doc="margin at both ends of a window", at_least=0)
    probe_every_s: float | None = setting(None, doc="how often a cheap look is taken between; 0: never", at_least=0)
    page_size: int | None = setting(None, doc="rows per page", at_least=1)
    worth: float | None = setting(None, doc="how much its freshness is worth beside that of others", at_least=0)
    deletion: Deletion | None = setting(None, doc="what absence means: deleted, once confirmed; or nothing")
