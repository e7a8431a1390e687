"""On which line a TOML document says what: `tomllib` gives values without places, this gives places.

A small scanner beside the parser, not instead of it: the parser decides what is valid. For a document `tomllib`
accepts, the keys found here are exactly the keys it returns; for any other text the scan ends early and never
raises.
"""

from __future__ import annotations

import contextlib
import re
import tomllib

Path = tuple[str | int, ...]
"""Keys from the top of the document; an `int` counts the elements of an array, or the tables of a `[[…]]`."""

DEEPEST = 80
"""At arrays and inline tables nested deeper than this the scan ends."""

_SPACE = re.compile(r"[ \t]*")
_SPACE_AND_COMMENTS = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BASIC = re.compile(r'"(?:[^"\\\n]|\\[^\n])*"')
_LITERAL = re.compile(r"'[^'\n]*'")
# A multi-line string ends at three quotes, of which up to two more may stand directly before as content.
_LONG_BASIC = re.compile(r'"""(?:[^"\\]|\\.|"{1,2}(?!"))*"{3,5}', re.DOTALL)
_LONG_LITERAL = re.compile(r"'''(?:[^']|'{1,2}(?!'))*'{3,5}")
_PLAIN_VALUE = re.compile(r"[^,\]}#\n]+")


class _Lost(Exception):
    """The text is not TOML from here on."""


def find_lines(text: str) -> dict[Path, int]:
    """The line, counted from 1, of every key, table and array element of `text`.

    A table without a header of its own has the line of its first key. Never raises.
    """
    scan = _Scan(text)
    # What was found until the scan got lost is right; the parser says what is wrong.
    with contextlib.suppress(_Lost, tomllib.TOMLDecodeError):
        scan.document()
    return scan.lines


class _Scan:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[Path, int] = {}
        self._tables: dict[Path, int] = {}  # how many `[[…]]` tables each array has so far
        self._counted = (0, 1)  # a position and its line: lines are counted once, not from the top each time

    def document(self) -> None:
        prefix: Path = ()
        while True:
            self._skip(_SPACE_AND_COMMENTS)
            if self.at == len(self.text):
                return
            prefix = self._header() if self._peek() == "[" else self._pair(prefix, 0, prefix)

    def _header(self) -> Path:
        line = self._line()
        array = self.text.startswith("[[", self.at)
        self.at += 2 if array else 1
        keys = self._keys()
        self._expect("]]" if array else "]")
        path: Path = ()
        for key in keys[:-1]:
            path = self._enter((*path, key), line)
        if array:
            path = (*path, keys[-1])
            self.lines.setdefault(path, line)
            count = self._tables.get(path, 0)
            self._tables[path] = count + 1
            path = (*path, count)
        else:
            path = (*path, keys[-1])
        self.lines[path] = line  # also where a sub-table was seen first: the header is the better place
        return path

    def _enter(self, path: Path, line: int) -> Path:
        """Step into a table a header names on the way; of an array of tables that is the last one."""
        self.lines.setdefault(path, line)
        count = self._tables.get(path)
        return (*path, count - 1) if count else path

    def _pair(self, prefix: Path, depth: int, result: Path) -> Path:
        line = self._line()
        path = prefix
        for key in self._keys():
            path = (*path, key)
            self.lines.setdefault(path, line)
        self._expect("=")
        self._skip(_SPACE)
        self._value(path, depth)
        return result

    def _value(self, path: Path, depth: int) -> None:
        opening = self._peek()
        if opening in "[{" and depth >= DEEPEST:
            raise _Lost
        if opening == "[":
            self._array(path, depth)
        elif opening == "{":
            self._inline_table(path, depth)
        elif opening in "\"'":
            self._string()
        else:
            self._match(_PLAIN_VALUE)

    def _array(self, path: Path, depth: int) -> None:
        self.at += 1
        count = 0
        while True:
            self._skip(_SPACE_AND_COMMENTS)
            if self._peek() == "]":
                break
            element = (*path, count)
            self.lines.setdefault(element, self._line())
            self._value(element, depth + 1)
            count += 1
            self._skip(_SPACE_AND_COMMENTS)
            if self._peek() == ",":
                self.at += 1
            elif self._peek() != "]":
                raise _Lost
        self.at += 1

    def _inline_table(self, path: Path, depth: int) -> None:
        self.at += 1
        while True:
            # TOML 1.0 wants an inline table on one line, 1.1 does not; which one holds is the parser's business.
            self._skip(_SPACE_AND_COMMENTS)
            if self._peek() == "}":
                break
            self._pair(path, depth + 1, path)
            self._skip(_SPACE_AND_COMMENTS)
            if self._peek() == ",":
                self.at += 1
            elif self._peek() != "}":
                raise _Lost
        self.at += 1

    def _keys(self) -> list[str]:
        keys = []
        while True:
            self._skip(_SPACE)
            keys.append(self._key())
            self._skip(_SPACE)
            if self._peek() != ".":
                return keys
            self.at += 1

    def _key(self) -> str:
        if self._peek() == '"':
            raw = self._match(_BASIC)
            if "\\" not in raw:
                return raw[1:-1]
            decoded: str = tomllib.loads(f"key = {raw}")["key"]
            return decoded
        if self._peek() == "'":
            return self._match(_LITERAL)[1:-1]
        return self._match(_BARE_KEY)

    def _string(self) -> None:
        for quotes, long, short in (('"', _LONG_BASIC, _BASIC), ("'", _LONG_LITERAL, _LITERAL)):
            if self.text.startswith(quotes * 3, self.at):
                self._match(long)
                return
            if self.text.startswith(quotes, self.at):
                self._match(short)
                return

    def _peek(self) -> str:
        """The next character; at the end a NUL, which no TOML document holds."""
        return self.text[self.at] if self.at < len(self.text) else "\0"

    def _skip(self, pattern: re.Pattern[str]) -> None:
        found = pattern.match(self.text, self.at)
        self.at = found.end() if found else self.at

    def _match(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self.text, self.at)
        if found is None:
            raise _Lost
        self.at = found.end()
        return found[0]

    def _expect(self, literal: str) -> None:
        self._skip(_SPACE)
        if not self.text.startswith(literal, self.at):
            raise _Lost
        self.at += len(literal)

    def _line(self) -> int:
        position, line = self._counted
        line += self.text.count("\n", position, self.at)
        self._counted = (self.at, line)
        return line
