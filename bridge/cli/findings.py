"""What a check has found."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from bridge.cli.exits import Exit
from bridge.core.secret import Masker


@dataclass(frozen=True, slots=True)
class Finding:
    """One check. `says`: what was found and, if it failed, what to do; further lines are details."""

    what: str
    ok: bool
    says: str
    exit: Exit = Exit.OK

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        first, *rest = self.says.splitlines() or [""]
        return {"check": self.what, "ok": self.ok, "says": first, "details": rest, "exit": int(self.exit)}

    def masked(self, masker: Masker) -> Finding:
        """The same without any known secret."""
        return replace(self, says=masker.mask(self.says))


def passed(what: str, says: str) -> Finding:
    """A check that went well."""
    return Finding(what, True, says)


def failed(what: str, says: str, exit: Exit = Exit.CONFIG) -> Finding:
    """A check that did not."""
    return Finding(what, False, says, exit)
