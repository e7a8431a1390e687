"""What a source publishes: which entities, by which changes, and where. The facts behind `bridged asyncapi`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from bridge.core.facts import Token, Walk
from bridge.core.record import Change
from bridge.core.secret import Secret
from bridge.core.settings import Subscription
from bridge.core.shape import CHANGES

LIVES: Final[tuple[Change, ...]] = ("created", "updated", "snapshot")
"""An entity whose end nobody tells of."""
DIES: Final[tuple[Change, ...]] = ("created", "updated", "deleted", "snapshot")
ONCE: Final[tuple[Change, ...]] = ("occurred",)


@dataclass(frozen=True, slots=True)
class Published:
    """One entity and the changes that are told of it.

    `entity` is None for those whose names only the vendor's data tells: any other name may come. `telemetry`: its
    events go to the telemetry stream.
    """

    entity: str | None
    changes: tuple[Change, ...] = DIES
    telemetry: bool = False


def of_walk(walk: Walk) -> Published:
    """What a walk's records become, as far as the walk itself tells."""
    changes = ONCE if walk.once else DIES if walk.reports_absence else LIVES
    return Published(walk.entity, changes, walk.telemetry)


def of_subscription(one: Subscription) -> Published:
    """What a subscription's records become; those of a `shape` are mapped by the adapter, under the shape's name."""
    if one.shape is not None:
        return Published(one.shape, LIVES)
    mortal = one.gone is not None or one.null_is_gone
    return Published(one.entity, ONCE if one.occurred else DIES if mortal else LIVES)


def joined(found: Iterable[Published]) -> list[Published]:
    """Each entity once, with all changes that are told of it; sorted by name, those without a name last."""
    changes: dict[tuple[str | None, bool], set[Change]] = {}
    for one in found:
        changes.setdefault((one.entity, one.telemetry), set()).update(one.changes)
    order = sorted(changes, key=lambda key: (key[0] is None, key[0] or "", key[1]))
    return [
        Published(entity, tuple(change for change in CHANGES if change in changes[entity, telemetry]), telemetry)
        for entity, telemetry in order
    ]


class _AnyFacts(dict[str, str]):
    """Facts of a login that nobody has done: whichever is asked for is there."""

    def __missing__(self, name: str) -> str:
        return name


def stand_in() -> Token:
    """A token for asking an adapter which walks it has, when nobody has logged in and no request is made."""
    return Token(Secret("", "stand-in"), facts=_AnyFacts(any="any"))
