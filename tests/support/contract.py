"""Holds messages against the AsyncAPI document of the configuration that published them, with a real validator."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft7Validator, FormatChecker  # type: ignore[import-untyped]

from bridge.core.record import Json

_PARAMETER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel: which subjects are its, and what its messages must be."""

    name: str
    subjects: re.Pattern[str]
    allowed: Mapping[str, Sequence[str]]
    headers: Any
    payload: Any

    def complaints(self, subject: str, headers: Mapping[str, str], payload: Json) -> list[str]:
        """What is wrong with a message on this channel."""
        found = self.subjects.fullmatch(subject)
        if found is None:
            return [f"{subject} is no subject of {self.name}"]
        wrong = [
            f"{name} is {value}, which is none of {', '.join(self.allowed[name])}"
            for name, value in found.groupdict().items()
            if name in self.allowed and value not in self.allowed[name]
        ]
        wrong += [f"headers{error.json_path[1:]}: {error.message}" for error in self.headers.iter_errors(dict(headers))]
        return wrong + [f"payload{error.json_path[1:]}: {error.message}" for error in self.payload.iter_errors(payload)]


class Contract:
    """A document, compiled."""

    def __init__(self, document: Json) -> None:
        self.document = document
        self._validators: dict[str, tuple[Any, Any]] = {}
        self.channels = [self._channel(name, one) for name, one in document["channels"].items()]
        # Those without parameters in place of names come first: they say more.
        self.channels.sort(key=lambda channel: len(channel.subjects.groupindex))
        self._known: dict[str, Channel | None] = {}

    def complaints(self, subject: str, headers: Mapping[str, str], payload: Json) -> list[str]:
        """What is wrong with a message, in words; nothing if it is as the document says."""
        channel = self.channel(subject)
        if channel is None:
            return ["the document has no channel for this subject"]
        return channel.complaints(subject, headers, payload)

    def channel(self, subject: str) -> Channel | None:
        """The channel of a subject."""
        kind = subject.rpartition(".")[0]
        if kind not in self._known:
            self._known[kind] = next((one for one in self.channels if one.subjects.fullmatch(subject)), None)
        return self._known[kind]

    def _channel(self, name: str, said: Json) -> Channel:
        parameters = {key: self.resolve(one) for key, one in said["parameters"].items()}
        assert set(_PARAMETER.findall(said["address"])) == set(parameters), f"{name}: parameters"
        pieces = _PARAMETER.split(said["address"])
        pattern = "".join(
            f"(?P<{piece}>[^.]+)" if place % 2 else re.escape(piece) for place, piece in enumerate(pieces)
        )
        (message,) = said["messages"].values()
        allowed = {key: one["enum"] for key, one in parameters.items() if "enum" in one}
        return Channel(name, re.compile(pattern), allowed, *self._compiled(message["$ref"]))

    def _compiled(self, reference: str) -> tuple[Any, Any]:
        if reference not in self._validators:
            message = self.resolve({"$ref": reference})
            headers, payload = (validator(self.whole(message[part])) for part in ("headers", "payload"))
            self._validators[reference] = headers, payload
        return self._validators[reference]

    def resolve(self, value: Json) -> Json:
        """What a `$ref` stands for; anything else is itself."""
        if not isinstance(value, dict) or "$ref" not in value:
            return value
        found = self.document
        for step in value["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        return found

    def whole(self, schema: Json) -> Json:
        """A schema without references and without `$id`: inside of another one that would begin a new document."""
        schema = self.resolve(schema)
        if isinstance(schema, dict):
            kept = {key: value for key, value in schema.items() if key != "$id" or not isinstance(value, str)}
            return {key: self.whole(value) for key, value in kept.items()}
        return [self.whole(item) for item in schema] if isinstance(schema, list) else schema


def validator(schema: Json) -> Any:
    """The validator of a schema, which is itself valid."""
    Draft7Validator.check_schema(schema)
    return Draft7Validator(schema, format_checker=FormatChecker())


def references(value: Json) -> Iterator[str]:
    """Every `$ref` in a document."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "$ref" and isinstance(item, str):
                yield item
            else:
                yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)
