"""The headers of a message, spelled out once, as they go onto the wire."""

from __future__ import annotations

from collections.abc import Iterator, Mapping


class Headers(Mapping[str, str]):
    """A mapping that is read back from its own spelling: an event is sealed and sent far more often than looked into.

    `text`: a line for each header, `Name: value` and a line break. `count`: how many there are. `whole`: whether it is
    known that no value holds a line break; else it is looked for when somebody asks.
    """

    __slots__ = ("_found", "_whole", "count", "text")

    def __init__(self, text: str, count: int, *, whole: bool = False) -> None:
        self.text = text
        self.count = count
        self._whole = whole
        self._found: dict[str, str] | None = None

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> Headers:
        """The same headers, in their order; those that are spelled out already as they are."""
        if isinstance(headers, Headers):
            return headers
        return cls("".join([f"{name}: {value}\r\n" for name, value in headers.items()]), len(headers))

    @property
    def whole(self) -> bool:
        """Whether it is as many lines as headers: a value with a line break in it would be one header more."""
        return self._whole or self.text.count("\r") == self.text.count("\n") == self.count

    def __getitem__(self, name: str) -> str:
        return self._read()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return self.count

    def __repr__(self) -> str:
        return f"<{self.count} headers>"

    def _read(self) -> dict[str, str]:
        if self._found is None:
            lines = (line.partition(": ") for line in self.text.split("\r\n")[:-1])
            self._found = {name: value for name, _, value in lines}
        return self._found
