"""Values that nobody changes: a dataclass whose fields are read-only to the type checker, and cheap to make.

`dataclass(frozen=True)` sets each field by `object.__setattr__`: to make an object takes three times as long. Of what
is made once for every event that adds up; mypy sees to it all the same that nobody assigns to a field.
Unlike those they have no hash: no set or dictionary key.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value(cls: type[T]) -> type[T]:
    """A class decorator, in place of `dataclass(frozen=True, slots=True)`."""
    return dataclass(slots=True)(cls)
