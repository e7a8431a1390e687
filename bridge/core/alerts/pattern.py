"""How large a regular expression becomes, by its text: time and memory that matching takes grow with it.

Engines that never go back over a text take time in proportion to its length and to this size. It is an estimate, and
counts rather too much.
"""

from __future__ import annotations

import re

LARGEST_PATTERN = 500

_CLASS = 5
"""A class of Unicode characters, such as `\\w`, stands for many ranges of bytes."""

_PART = re.compile(
    r"""(?P<class>\\[pP]\{[^}]*\}|\\[pPdDwWsS]|\[\^?\]?(?:\\.|[^\]\\])*\]|\.)
      | (?P<repeat>\{\s*([0-9]*)\s*(?:,\s*([0-9]*)\s*)?\})
      | (?P<open>\()
      | (?P<close>\))
      | (?P<atom>\\.|.)""",
    re.VERBOSE | re.DOTALL,
)


def pattern_size(pattern: str) -> int:
    """Such as 32 for that of a UUID."""
    # In a literal each backslash is mostly written twice.
    sizes, last = [0], 0
    for match in _PART.finditer(pattern.replace("\\\\", "\\")):
        kind = match.lastgroup
        if kind == "repeat":
            times = max((int(number[:6]) for number in match.group(3, 4) if number), default=1)
            sizes[-1] += last * (max(times, 1) - 1)
            last *= max(times, 1)
        elif kind == "open":
            sizes.append(0)
        elif kind == "close":
            last = sizes.pop() if len(sizes) > 1 else 0
            sizes[-1] += last
        else:
            last = _CLASS if kind == "class" else 1
            sizes[-1] += last
    return sum(sizes)
