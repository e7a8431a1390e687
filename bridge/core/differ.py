"""Turns a record into a change, or into nothing, by what is known of the entity."""

from __future__ import annotations

from bridge.core.canonical import canonical, mapping_of
from bridge.core.record import Change, Head, Json, Record, version_order

_LEAVES = frozenset({str, int, bool, type(None)})


def judge(
    record: Record, digest: str, head: Head | None, *, first_read: bool = False, live: bool = False
) -> Change | None:
    """What happened to the entity, as far as `record` tells; None when it is nothing new.

    `digest` is the record's, over what would be published. `first_read`: this is the first look at the source,
    so what is found there is not news. `live`: the record was pushed, so it may have been overtaken. A record that
    is older than what is known is nothing new; one that is `unordered` is news whenever it is newer. What was
    normalised by another mapping version cannot be compared: it is stored again as `snapshot`, which is not news.
    """
    if record.occurred:
        return "occurred" if head is None else None
    if head is None:
        if record.gone:
            return "deleted" if record.unordered else None
        return "snapshot" if first_read else "created"
    age = _age(record, head)
    if age < 0:
        return None
    newer = record.unordered and age > 0
    if record.gone:
        return "deleted" if newer or head.change != "deleted" else None
    if head.change == "deleted":
        # The version that was deleted, pushed late, does not bring the entity back to life; a page that holds it does.
        late = live and age == 0 and record.version is not None and head.version is not None
        return None if late else "created"
    if head.digest == digest:
        return "updated" if newer else None
    return "updated" if mapping_of(head.digest) == mapping_of(digest) else "snapshot"


def changed_fields(before: Json, after: Json) -> tuple[str, ...]:
    """The names of the top-level fields that differ, in alphabetical order. () where one side is not known."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        return ()
    differing = [name for name in before if name not in after]
    for name, new in after.items():
        if name not in before:
            differing.append(name)
            continue
        old = before[name]
        kind = type(old)
        # As `_same` has it, without a call each: most fields are texts and numbers, and most are as they were.
        if (old != new) if kind in _LEAVES and kind is type(new) else not _same(old, new):
            differing.append(name)
    return tuple(sorted(differing))


def _same(old: Json, new: Json) -> bool:
    """Whether two values have one canonical form. To Python 1 and True are equal, to a consumer they are not."""
    kind = type(old)
    if kind is not type(new):
        return canonical(old) == canonical(new)
    if kind is dict:
        if len(old) != len(new):
            return False
        for name, value in old.items():  # noqa: SIM110 - a generator costs more than the comparing
            if name not in new or not _same(value, new[name]):
                return False
        return True
    if kind is list:
        return len(old) == len(new) and all(map(_same, old, new))
    return bool(old == new) if kind in _LEAVES else canonical(old) == canonical(new)


def _age(record: Record, head: Head) -> int:
    """-1: the record is older than what is known, 1: newer, 0: the same version or no version to compare."""
    if record.version is None or head.version is None:
        return 0
    ours, known = version_order(record.version), version_order(head.version)
    return (ours > known) - (ours < known)
