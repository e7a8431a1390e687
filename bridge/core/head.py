"""Reads a stored event's headers back into what the differ needs: the inverse of `event.seal`."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping

from bridge.core.record import Head

DIGEST = "Bridge-Digest"
VERSION = "Bridge-Version"
ID = "Bridge-Id"
"""In place of `ce-id`, where the attributes are in the payload."""
SUBJECT = "Bridge-Subject"
"""In place of `ce-subject`, there and for ids that no attribute may hold: CloudEvents forbids control characters."""


def head_of(seq: int, change: str, headers: Mapping[str, str]) -> Head:
    """The head an event's headers tell of. `seq` is its sequence in the stream, 0 when it is no longer held."""
    version = headers.get(VERSION)
    return Head(
        seq=seq,
        ce_id=ce_id_of(headers),
        change=change,
        version=None if version is None else percent_decode(version),
        digest=percent_decode(headers.get(DIGEST, "")),
    )


def ce_id_of(headers: Mapping[str, str]) -> str:
    """The event's name, in either content mode; "" where there is none."""
    return headers.get("ce-id") or headers.get(ID, "")


def id_of(headers: Mapping[str, str]) -> str:
    """The vendor's id of the entity: whole even where its subject token is a hash."""
    return percent_decode(headers.get("ce-subject") or headers.get(SUBJECT, ""))


def change_of(headers: Mapping[str, str]) -> str:
    """Which change an event in binary mode tells of, where its subject no longer says so (entries of the view)."""
    return percent_decode(headers.get("ce-type", "")).rpartition(".")[2]


def percent_decode(value: str) -> str:
    """What `percent_encode` encoded. What others wrote by hand may be anything: it is read as well as it can be."""
    if "%" not in value:
        return value
    data = urllib.parse.unquote_to_bytes(value)
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace")
