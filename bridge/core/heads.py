"""The last events of a source's entities, packed: a source may have a million of them, and they stay for ever.

A `Head` in a plain dictionary takes some 500 bytes, and the garbage collector visits it at each full collection, during
which nothing else happens: a second for a million. Packed it is one bytes object, which the collector leaves alone.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, MutableMapping

from bridge.core.record import Head

_CHANGES = ("created", "updated", "deleted", "snapshot", "occurred")
_NUMBERS = {change: number for number, change in enumerate(_CHANGES)}
_VERSIONED, _MARKED, _CHANGE = 0x80, 0x40, 0x3F
_FIXED = struct.Struct(">QBB16s16s")
"""Sequence; change, and whether a mark and a version follow; number of the digest's mapping; ce-id; digest.

Then the mark and the version."""
MARK_BYTES = 8
_CHANGE_AT = 8
_MOST_MAPPINGS = 256

_Loose = tuple[int, str, str, str | None, str]


class Heads(MutableMapping[tuple[str, str], Head]):
    """By entity and id. What it returns is a copy: to change a head, set it."""

    def __init__(self) -> None:
        self._by_entity: dict[str, dict[str, bytes | _Loose]] = {}
        self._mappings: dict[str, int] = {}
        self._texts: list[str] = []

    def find(self, entity: str, id_: str) -> Head | None:
        """As `get`, but what is not known raises nothing on the way: as good as every new record asks."""
        heads = self._by_entity.get(entity)
        packed = heads.get(id_) if heads else None
        return None if packed is None else self._unpack(packed)

    def __getitem__(self, key: tuple[str, str]) -> Head:
        entity, id_ = key
        return self._unpack(self._by_entity[entity][id_])

    def __setitem__(self, key: tuple[str, str], head: Head) -> None:
        entity, id_ = key
        packed = self._pack(head)
        try:
            self._by_entity[entity][id_] = packed
        except KeyError:
            self._by_entity[entity] = {id_: packed}

    def __delitem__(self, key: tuple[str, str]) -> None:
        entity, id_ = key
        del self._by_entity[entity][id_]

    def __contains__(self, key: object) -> bool:
        return isinstance(key, tuple) and len(key) == 2 and key[1] in self._by_entity.get(key[0], ())

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return ((entity, id_) for entity, heads in self._by_entity.items() for id_ in heads)

    def __len__(self) -> int:
        return sum(map(len, self._by_entity.values()))

    def mark(self, entity: str, id_: str, mark: bytes) -> None:
        """Put `MARK_BYTES` bytes beside a head, in place of others. They are lost as soon as the head is set again.

        What we know nothing of, or what somebody else's hand wrote, gets none.
        """
        if len(mark) != MARK_BYTES:
            raise ValueError(f"a mark of {len(mark)} bytes, expected {MARK_BYTES}")
        heads = self._by_entity.get(entity, {})
        packed = heads.get(id_)
        if isinstance(packed, bytes):
            flags = bytes((packed[_CHANGE_AT] | _MARKED,))
            heads[id_] = (
                packed[:_CHANGE_AT] + flags + packed[_CHANGE_AT + 1 : _FIXED.size] + mark + packed[_rest_at(packed) :]
            )

    def bearing(self, entity: str) -> Callable[[str, bytes], bool]:
        """A function that says of an id whether this mark was put beside its head, and the head not set again since."""
        heads, at = self._by_entity.setdefault(entity, {}), _FIXED.size

        def bears(id_: str, mark: bytes) -> bool:
            packed = heads.get(id_)
            return type(packed) is bytes and packed[_CHANGE_AT] & _MARKED != 0 and packed.startswith(mark, at)

        return bears

    def existing(self, entity: str) -> set[str]:
        """The ids of an entity's kind whose last change is not `deleted`."""
        gone = _NUMBERS["deleted"]
        return {
            id_
            for id_, packed in self._by_entity.get(entity, {}).items()
            if (packed[_CHANGE_AT] & _CHANGE != gone if isinstance(packed, bytes) else packed[2] != "deleted")
        }

    def _pack(self, head: Head) -> bytes | _Loose:
        """As bytes what our own hand wrote; anything else stays as it is."""
        loose = (head.seq, head.ce_id, head.change, head.version, head.digest)
        mapping, colon, content = head.digest.rpartition(":")
        try:
            ce_id, digest = bytes.fromhex(head.ce_id), bytes.fromhex(content)
            change = _NUMBERS[head.change]
        except (KeyError, ValueError):
            return loose
        if not colon or len(ce_id) != 16 or len(digest) != 16 or ce_id.hex() != head.ce_id or digest.hex() != content:
            return loose
        number = self._mappings.get(mapping)
        if number is None:
            if len(self._texts) == _MOST_MAPPINGS:
                return loose
            number = self._mappings[mapping] = len(self._texts)
            self._texts.append(mapping)
        if head.version is None:
            return _FIXED.pack(head.seq, change, number, ce_id, digest)
        fixed = _FIXED.pack(head.seq, change | _VERSIONED, number, ce_id, digest)
        return fixed + head.version.encode("utf-8", "surrogatepass")

    def _unpack(self, packed: bytes | _Loose) -> Head:
        if not isinstance(packed, bytes):
            return Head(*packed)
        seq, change, number, ce_id, digest = _FIXED.unpack_from(packed)
        version = packed[_rest_at(packed) :].decode("utf-8", "surrogatepass") if change & _VERSIONED else None
        return Head(seq, ce_id.hex(), _CHANGES[change & _CHANGE], version, f"{self._texts[number]}:{digest.hex()}")


def _rest_at(packed: bytes) -> int:
    return _FIXED.size + (MARK_BYTES if packed[_CHANGE_AT] & _MARKED else 0)
