"""What an event's headers tell of an entity: the inverse of sealing."""

from __future__ import annotations

import pytest

from bridge.core.event import percent_encode
from bridge.core.head import change_of, head_of, id_of, percent_decode
from bridge.core.record import Head, Key
from tests.support import sealing
from tests.support.sealing import head_at, sealed


@pytest.mark.parametrize("id_", ["", "7", "a b", "100 %", 'say "hi"', "Grüße", "日本", "x" * 400, "%25", "a\nb"])
@pytest.mark.parametrize("structured", [False, True])
def test_a_sealed_event_can_be_read_back(id_: str, structured: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Id, change, version, digest and ce-id come back from the headers alone, whatever the id and the content mode."""
    monkeypatch.setattr(sealing, "structured", lambda change: structured)
    event = sealed(Key("acme", "main", "session", id_), "updated", {"n": 1}, version="v 1é")
    assert head_of(7, "updated", event.headers) == head_at(event, 7)
    assert id_of(event.headers) == id_
    assert change_of(event.headers) == ("" if structured else "updated")


@pytest.mark.parametrize("text", ["", "%", "%25", "a b", "é", "日本", "\ud800", "\r\n"])
def test_decoding_undoes_encoding(text: str) -> None:
    """Every text comes back, lone surrogates included."""
    assert percent_decode(percent_encode(text)) == text


def test_foreign_messages_have_an_empty_head() -> None:
    """Headers that are none of ours give empty values, never an error."""
    assert head_of(3, "created", {}) == Head(3, "", "created", None, "")
    assert id_of({}) == ""
    assert change_of({}) == ""


@pytest.mark.parametrize(
    ("written", "read"),
    [("%FF", "\ufffd"), ("a%C3", "a\ufffd"), ("100%", "100%"), ("%zz%41", "%zzA"), ("%E4%F6", "\ufffd\ufffd")],
)
def test_headers_written_by_hand_are_read_as_well_as_they_can_be(written: str, read: str) -> None:
    """Others may percent-encode something else than UTF-8, or nothing: no error ends the reading of a stream."""
    assert percent_decode(written) == read
    headers = {"ce-id": "1", "ce-subject": written, "Bridge-Version": written, "Bridge-Digest": written}
    assert head_of(3, "created", headers) == Head(3, "1", "created", read, read)
    assert id_of(headers) == read
