"""From a record to a sealed event, and to quarantine where that cannot be."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.canonical import legible
from bridge.core.errors import Malformed
from bridge.core.record import Head, Json, Record
from bridge.core.secret import Masker, Secret
from bridge.engine.scribe import QUARANTINE_RAW
from tests.support.desk import gone, scribe, thing

SECRET = "s3cr3t-token-0123456789"


def set_aside(raw: bytes, reason: str = "why", **settings: object) -> dict[str, Json]:
    note = scribe(**settings).quarantine(Malformed(reason, raw=raw), "feed")
    assert note.record.after is not None
    return dict(note.record.after)


def masked() -> Masker:
    return Masker([Secret(SECRET)])


def test_omitted_fields_are_in_neither_the_event_nor_its_digest() -> None:
    """What is not published does not make a change either."""
    cautious = scribe(omits=["people.*.email"])
    one = cautious.note(Record("thing", "a", {"people": [{"email": "x", "id": 1}]}), "live")
    two = cautious.note(Record("thing", "a", {"people": [{"email": "y", "id": 1}]}), "live")
    assert one.digest == two.digest
    assert b"email" not in cautious.seal(one, "created", None, None)[1].payload


def test_what_is_omitted_now_does_not_return_as_before() -> None:
    """It was stored under the paths of its day."""
    cautious = scribe(omits=["email"])
    note = cautious.note(Record("thing", "a", {"id": 1}), "live")
    event = cautious.seal(note, "updated", Head(7, "ce", "created", None, "1:x"), {"id": 0, "email": "x@y"})[1]
    assert json.loads(event.payload)["before"] == {"id": 0}


def test_events_name_the_shape_their_entity_has() -> None:
    """As `ce-dataschema`; entities without a shape have none, quarantine and the bridge's own events have theirs."""
    writer = scribe(schema={"thing": "person/1"}.get)
    note = writer.note(thing("a", 1), "live")
    assert writer.seal(note, "created", None, None)[1].headers["ce-dataschema"] == "urn:bridged:schema:person:1"
    for other in (writer.note(Record("other", "a", {}), "live"), writer.own("thing", "lost", "a", {})):
        assert "ce-dataschema" not in writer.seal(other, "created", None, None)[1].headers
    aside, event = writer.seal(writer.note(thing("a", "x" * 2_000_000), "live"), "created", None, None)
    assert aside.own
    assert event.headers["ce-dataschema"] == "urn:bridged:schema:bridge-quarantine:1"


def test_another_edition_of_the_mapping_is_told_apart() -> None:
    """Digests made by other settings say nothing of each other; without a say of theirs nothing changes."""
    record = Record("thing", "a", {"value": 1})
    plain = scribe().note(record, "live").digest
    ours = scribe(edition={"thing": "abc", "other": ""}.__getitem__)
    assert ours.note(record, "live").digest == plain.replace("1:", "1.abc:", 1)
    assert ours.note(Record("other", "a", {"value": 1}), "live").digest == plain


def test_raw_is_published_only_where_asked_for() -> None:
    """By default the vendor's own record stays out."""
    record = Record("thing", "a", {"id": 1}, raw={"ID": 1})
    for keep, raw in ((False, None), (True, {"ID": 1})):
        keeper = scribe(keep_raw=keep)
        assert json.loads(keeper.seal(keeper.note(record, "live"), "created", None, None)[1].payload)["raw"] == raw


def test_an_event_follows_the_head_it_was_judged_by() -> None:
    """Its expectation is the head's sequence, and its identity depends on the head's."""
    plain = scribe()
    note = plain.note(thing("a", 1), "live")
    head, other = Head(7, "ce", "created", None, "1:x"), Head(7, "ec", "created", None, "1:x")
    first = plain.seal(note, "updated", head, None)[1]
    assert first.expected == 7
    assert first.ce_id == plain.seal(note, "updated", head, None)[1].ce_id
    assert first.ce_id != plain.seal(note, "updated", other, None)[1].ce_id
    assert plain.seal(note, "created", None, None)[1].expected == 0


def test_a_deletion_by_absence_keeps_the_version_that_vanished() -> None:
    """So that it does not return as a late push."""
    plain = scribe()
    event = plain.seal(plain.note(gone("a"), "catchup"), "deleted", Head(7, "ce", "updated", "5", "1:x"), None)[1]
    assert event.version == "5"


# --- quarantine ---


def test_the_same_bytes_for_the_same_reason_are_one() -> None:
    """Other bytes, another reason or another feed are another."""
    plain = scribe()

    def identity(reason: str, raw: bytes, feed: str) -> str:
        return plain.quarantine(Malformed(reason, raw=raw), feed).key.id

    assert identity("r", b"x", "f") == identity("r", b"x", "f")
    assert (
        len({identity("r", b"x", "f"), identity("q", b"x", "f"), identity("r", b"y", "f"), identity("r", b"x", "g")})
        == 4
    )


def test_text_is_kept_as_text_and_bytes_as_base64() -> None:
    """What is not UTF-8 is kept exactly."""
    assert set_aside("grün".encode())["raw"] == "grün"
    assert base64.b64decode(set_aside(b"\xff\x00")["raw_base64"]) == b"\xff\x00"


@pytest.mark.parametrize("length", [QUARANTINE_RAW, QUARANTINE_RAW + 1, 10 * QUARANTINE_RAW])
def test_long_raw_is_cut_and_says_so(length: int) -> None:
    """The length is that of the whole."""
    aside = set_aside(b"x" * length)
    assert (len(aside["raw"]), aside["bytes"], aside["truncated"]) == (QUARANTINE_RAW, length, length > QUARANTINE_RAW)


def test_what_cannot_be_had_again_is_kept_as_far_as_it_fits() -> None:
    """Of a webhook that was confirmed nobody has another copy: more is kept, if it leaves room in a message."""
    body = json.dumps([{"name": "Ärger", "n": n} for n in range(20_000)], ensure_ascii=False)
    aside = set_aside(body.encode(), whole=True)
    assert (aside["raw"], aside["truncated"]) == (body, False)
    assert len(body.encode()) > 500_000
    for raw in (b"\x00" * 200_000, b"\xff" * 900_000, b"x" * 2_000_000):
        writer = scribe(whole=True)
        note = writer.quarantine(Malformed("why", raw=raw), "feed")
        assert writer.seal(note, "occurred", None, None)[0] is note
    # What JSON would spell with six bytes each is kept in base64.
    zeros = b"\x00" * 500_000
    assert base64.b64decode(set_aside(zeros, whole=True)["raw_base64"]) == zeros
    assert set_aside(b"\x00" * 900_000, whole=True)["truncated"]


def test_a_cut_through_a_character_leaves_it_out() -> None:
    """Text stays text."""
    aside = set_aside(b"x" * (QUARANTINE_RAW - 1) + "ü".encode() * 10)
    assert aside["raw"] == "x" * (QUARANTINE_RAW - 1)
    assert aside["truncated"]


@pytest.mark.parametrize("limit", [16 * 1024, 65_536, 1_048_576])
@pytest.mark.parametrize("filling", [b"\x00", b"\xff", b"x", "\U0001f600".encode()])
@pytest.mark.parametrize("whole", [False, True])
def test_a_quarantine_event_always_fits(limit: int, filling: bytes, whole: bool) -> None:
    """However small the server's limit, and however the bytes are spelled in JSON: it never becomes a loop."""
    plain = scribe(limit=limit, whole=whole)
    note = plain.quarantine(Malformed("\x00" * 100_000, raw=filling * 1_000_000), "feed")
    same, event = plain.seal(note, "occurred", None, None)
    assert same is note
    assert event.size <= limit


@given(st.integers(0, 60), st.integers(1, 40), st.booleans())
def test_a_secret_across_the_cut_is_not_cut_in_half(before: int, many: int, binary: bool) -> None:
    """Wherever it lies, not even a part of it is published."""
    filler = b"\xff" if binary else b"x"
    raw = SECRET.encode() * many + filler * (QUARANTINE_RAW - 8 * many - before) + SECRET.encode() * 2_000
    aside = set_aside(raw, masker=masked())
    shown = aside["raw"].encode() if "raw" in aside else base64.b64decode(aside["raw_base64"])
    assert SECRET[:8].encode() not in shown


def test_reasons_are_masked_and_bounded() -> None:
    """A vendor's text may echo anything, at any length."""
    reason = set_aside(b"", f"bad {SECRET} " + "x" * 10_000, masker=masked())["reason"]
    assert reason.startswith("bad [secret] xxx")
    assert len(reason) <= 1_000


@pytest.mark.parametrize(
    ("after", "at_ms"),
    [({"value": float("inf")}, None), ({"value": "\ud800"}, None), ({"value": 1}, 10**17)],
)
def test_what_cannot_be_stored_is_set_aside(after: Json, at_ms: int | None) -> None:
    """A record that is not JSON, or whose time is none, costs its source nothing."""
    plain = scribe()
    note = plain.note(Record("thing", "a", after, at_ms=at_ms), "catchup")
    if not note.own:
        note = plain.seal(note, "created", None, None)[0]
    assert (note.key.vendor, note.key.entity, note.own) == ("bridge", "quarantine", True)
    assert note.record.after is not None
    assert note.record.after["reason"].startswith("thing cannot be stored")


def test_nothing_is_too_strange_to_be_shown() -> None:
    """Not JSON, or nested without end."""
    endless: list[Json] = []
    endless.append(endless)
    deep: list[Json] = []
    for _ in range(100_000):
        deep = [deep]
    assert legible({"a": 1}) == b'{"a":1}'
    assert legible({"a": float("nan")}) == b"{'a': nan}"
    assert legible(endless) == b"[[...]]"
    assert legible(deep) == b""


def test_configured_secrets_in_a_record_are_not_published() -> None:
    """A vendor that repeats our credentials in a record's field does not get them into the stream."""
    careful = scribe(masker=masked(), keep_raw=True)
    record = Record("thing", "1", {"name": f"it is {SECRET}!"}, raw={"deep": [SECRET]})
    _, event = careful.seal(careful.note(record, "live"), "updated", None, {"name": SECRET})
    assert SECRET.encode() not in event.payload
    assert json.loads(event.payload)["after"] == {"name": "it is [secret]!"}


def test_the_same_change_heard_of_in_two_ways_says_which_way_each_time() -> None:
    """What is put together once for all events of a kind is so for one way of hearing of them."""
    plain = scribe()
    found = [
        plain.seal(plain.note(thing("a", 1), via), "created", None, None)[1] for via in ("live", "catchup", "live")
    ]
    assert [event.headers["ce-via"] for event in found] == ["live", "catchup", "live"]


# --- our own credentials, and headers ---


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("where", ["id", "version"])
def test_a_secret_of_ours_as_id_or_version_is_set_aside(where: str, learned: bool) -> None:
    """An id cannot be masked, for it would then be another's: the record goes to quarantine, without the secret."""
    masker = Masker() if learned else masked()
    if learned:
        masker.add(Secret(SECRET))
    careful = scribe(masker=masker)
    odd = f"a-{SECRET}-b"
    record = Record("thing", odd, {"v": 1}) if where == "id" else Record("thing", "a", {"v": odd}, version=odd)
    note, event = careful.seal(careful.note(record, "live"), "occurred", None, None)
    assert (note.key.vendor, note.key.entity) == ("bridge", "quarantine")
    assert "bears a secret of ours as its id or version" in json.loads(event.payload)["after"]["reason"]
    assert SECRET not in f"{event.key} {dict(event.headers)} {event.payload.decode()}"


def test_of_many_records_only_the_one_whose_id_is_a_secret_of_ours_is_set_aside() -> None:
    """All ids are looked at together: what is found must not spare, nor hit, the others."""
    careful = scribe(masker=masked())
    given = [Record("thing", "a", {}), Record("thing", SECRET, {}), Record("thing", "b", {}, version=f"1-{SECRET}")]
    notes = list(map(careful.noting([*given, Malformed("odd")], "live", "feed"), given))
    assert [note.own for note in notes] == [False, True, True]
    assert notes[0].key.id == "a"


@pytest.mark.parametrize("where", ["id", "version"])
def test_a_token_learned_after_the_note_was_written_is_not_published_as_an_id(where: str) -> None:
    """A page takes its time: a token may be renewed between a record's note and its event."""
    masker = Masker()
    careful = scribe(masker=masker)
    record = Record("thing", SECRET, {}) if where == "id" else Record("thing", "a", {}, version=SECRET)
    (note,) = map(careful.noting([record], "live", "feed"), [record])
    assert not note.own
    masker.add(Secret(SECRET))
    note, event = careful.seal(note, "created", None, None)
    assert (note.key.vendor, note.key.entity) == ("bridge", "quarantine")
    assert SECRET not in f"{event.key} {dict(event.headers)} {event.payload.decode()}"


def test_a_token_learned_while_running_is_not_published() -> None:
    """A vendor that puts it into a record's fields gets it masked there, and the record is published."""
    masker = Masker()
    careful = scribe(masker=masker, keep_raw=True)
    masker.add(Secret(SECRET))
    record = Record("thing", "a", {"note": f"token {SECRET}!"}, raw={SECRET: SECRET})
    note, event = careful.seal(careful.note(record, "live"), "created", None, None)
    data = json.loads(event.payload)
    assert (note.key.entity, data["after"]) == ("thing", {"note": "token [secret]!"})
    assert data["raw"] == {"[secret]": "[secret]"}


def test_an_id_too_long_for_headers_is_set_aside() -> None:
    """Whatever the server's `max_payload`: nats-server takes no more than 64 KiB of headers."""
    plain = scribe(limit=100_000_000)
    note, event = plain.seal(plain.note(thing("x" * 61_000, 1), "live"), "created", None, None)
    assert note.key.entity == "quarantine"
    after = json.loads(event.payload)["after"]
    assert after["reason"] == "thing exceeds the NATS server's limit of 60000 bytes"
    assert sum(map(len, event.headers.values())) < 2_000
