"""One `[[source.event]]` table: which deliveries of a webhook it is for, and what they tell. And the paths in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bridge.core.record import Json
from bridge.core.settings import BadSetting, setting

ROOTS = ("body", "headers", "query", "event", "delivery")
ITEM = "item"
"""One of the list that `each` names."""

ONCE = "occurred"
STATES = ("changed", "created", "updated")
"""An entity as it is now. Whether that is created or updated is told by what is known of it."""
GONE = "deleted"
DROP = "drop"
WORDS = (ONCE, *STATES, GONE, DROP)

PLAIN = "delivery"
"""What a delivery is called that no table maps."""

CREDENTIAL = re.compile(r"auth|cookie|token|secret|signature|passw|api-?key|credential|cert|sign$")
"""Headers and query parameters of such names prove who somebody is: they never get further than the verification."""

NAME = re.compile(r"[a-z][a-z0-9_-]{0,59}")
_HEADER = re.compile(r"\bheaders\.\S+")


@dataclass(frozen=True, kw_only=True)
class EventTable:
    """One `[[source.event]]` table: which deliveries it is for, and what they tell. The first that fits is taken.

    Raises BadSetting for what contradicts itself.
    """

    when: dict[str, Any] = setting(
        {}, doc='only deliveries where each path has its value, or one of a list: "body.action" = ["opened", "closed"]'
    )
    drop: bool = setting(False, doc="these deliveries are confirmed and not published")
    each: str | None = setting(None, doc="path of a list, each item of which is an event; paths then know `item`, too")
    entity: str = setting(PLAIN, doc="what it is called in our events, such as order; or a path, such as body.type")
    id: str | None = setting(None, doc="path of its id; needed for entities; default: the delivery's id")
    change: str = setting(
        ONCE, doc="occurred (it happens once), changed (an entity as it is now), deleted; or the path of a word"
    )
    changes: dict[str, str] = setting(
        {}, doc='what those words mean: opened = "changed", removed = "deleted", ping = "drop"'
    )
    version: str | None = setting(
        None, doc="path of what grows with every change of an entity, such as body.updated_at; needed for entities"
    )
    at: str | None = setting(None, doc="path of when it happened; default: a CloudEvent's time, else when it came")
    gone: str | None = setting(None, doc="path that is there, and not false, when the entity was deleted")
    fields: dict[str, str] = setting({}, doc='what to publish: our name = "path" or "path as kind"; default: the body')

    @property
    def words(self) -> Sequence[str]:
        """What `change` may come to."""
        return tuple(self.changes.values()) if self.changes else (self.change,)

    @property
    def of_entity(self) -> bool:
        """Whether it may tell the state of an entity."""
        return not self.drop and not set(self.words) <= {ONCE, DROP}

    def __post_init__(self) -> None:
        for path, wanted in self.when.items():
            if not all(isinstance(one, (str, int, float, bool)) for one in many(wanted)):
                raise BadSetting("expected a text, a number, true, false, or a list of them", "when", path)
        if self.drop:
            self._check_dropped()
            return
        if not is_path(self.entity) and not NAME.fullmatch(self.entity):
            raise BadSetting("expected a lower-case name, such as order, or a path, such as body.type", "entity")
        self._check_change()
        if self.of_entity:
            self._check_entity()
        if self.gone is not None and ONCE in self.words:
            raise BadSetting('what occurs once is never deleted: set change = "changed", or remove `gone`', "gone")

    def _check_dropped(self) -> None:
        for key in ("each", "id", "version", "at", "gone", "fields", "changes"):
            if getattr(self, key):
                raise BadSetting("these deliveries are dropped: remove it, or `drop`", key)

    def _check_change(self) -> None:
        if self.changes:
            if not is_path(self.change):
                raise BadSetting('goes with the path of a word, such as change = "body.action"', "changes")
            for word, meaning in self.changes.items():
                if meaning not in WORDS:
                    raise BadSetting(f"expected one of {', '.join(WORDS)}", "changes", word)
        elif is_path(self.change):
            raise BadSetting("says not what the words at this path mean: set `changes`, too", "change")
        elif self.change not in WORDS or self.change == DROP:
            raise BadSetting("expected occurred, changed, deleted, or a path such as body.action", "change")

    def _check_entity(self) -> None:
        if self.id is None:
            raise BadSetting("the key id is missing: an entity needs the path of its id")
        if self.version is None:
            raise BadSetting(
                "the key version is missing: senders repeat deliveries, in any order, and without a version an older "
                "state would return; name a path that grows with every change, such as body.updated_at, or take "
                'change = "occurred"'
            )


def is_path(text: str) -> bool:
    """Whether it leads somewhere, and is no word of its own."""
    return "." in text


def rooted(text: str, roots: Iterable[str], key: Iterable[str | int]) -> str:
    """The path expression with its headers in lower case. Raises BadSetting for one that leads nowhere."""
    text = _HEADER.sub(lambda found: found[0].lower(), " ".join(text.split()))
    for one in text.partition(" as ")[0].split(" or "):
        root, _, rest = one.partition(".")
        if root not in roots:
            known = ", ".join(roots)
            raise BadSetting(f"expected a path that begins with one of {known}, such as body.order.id", *key)
        if root in ("headers", "query") and CREDENTIAL.search(rest.lower()):
            raise BadSetting("it may carry a credential, and none gets further than the verification", *key)
    return text


def many(value: Json) -> list[Json]:
    """A list as it is, and any other value as a list of one."""
    return value if isinstance(value, list) else [value]
