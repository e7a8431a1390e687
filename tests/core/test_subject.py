"""Subject tokens and the names built from them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core import subject
from bridge.core.record import Key
from bridge.core.subject import filter_problem, matches, token, untoken

VECTORS: list[dict[str, Any]] = json.loads(Path(__file__).with_name("token_vectors.json").read_text("utf-8"))["vectors"]

SAFE = re.compile(r"[A-Za-z0-9_=-]{1,180}")

# Surrogates too: a vendor's JSON may hold half a pair.
ANY_TEXT = st.text(st.characters(exclude_categories=()))
AWKWARD = st.text(st.sampled_from("aZ09-_=hH.*> /$ä😀\ud800\x00\n"), max_size=70)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["why"])
def test_vectors(vector: dict[str, Any]) -> None:
    """The published examples hold, forwards and (but for hashes) backwards."""
    text = vector["text"] * vector.get("times", 1)
    expected = vector["token"] * vector.get("token_times", 1)
    assert token(text) == expected
    assert untoken(expected) == (None if expected.startswith("=h") else text)


@given(ANY_TEXT | AWKWARD)
def test_every_text_becomes_one_safe_token(text: str) -> None:
    """Whatever a vendor calls a thing, its token is 1 to 180 safe characters: one subject token, one KV key part."""
    assert SAFE.fullmatch(token(text))


@given(ANY_TEXT | AWKWARD)
def test_tokens_are_reversible(text: str) -> None:
    """The text comes back from its token, unless the token says that it is a hash."""
    back = untoken(token(text))
    assert back == text or (back is None and len(text) > 180 // 12)


@given(AWKWARD, AWKWARD)
def test_different_texts_have_different_tokens(one: str, other: str) -> None:
    """Two entities never share a subject."""
    assert (token(one) == token(other)) == (one == other)


def test_half_a_surrogate_pair_has_a_token() -> None:
    """Text that is not valid Unicode is still named, and differs from the character the two halves make."""
    assert token("\ud800") == "=ED=A0=80"
    assert token("\ud83d\ude00") == "=ED=A0=BD=ED=B8=80" != token("😀")
    assert untoken("=ED=A0=80") == "\ud800"


@given(st.text(st.sampled_from("aZ9_-=hAF0.* ä"), max_size=12))
def test_untoken_takes_only_what_token_gives(text: str) -> None:
    """Each text has one spelling: anything else is refused, so two tokens never mean one entity."""
    try:
        value = untoken(text)
    except ValueError:
        return
    assert value is not None
    assert token(value) == text


@pytest.mark.parametrize(
    "text", ["", "a.b", "=2e", "=4", "=41", "==", "=FF", "=h", "=h" + "A" * 64, "a" * 181, "ä", "a\n", "\ud800"]
)
def test_untoken_refuses_foreign_text(text: str) -> None:
    """What is not a token raises ValueError, without guessing."""
    with pytest.raises(ValueError, match=r"not a subject token|codec can't decode"):
        untoken(text)


def test_names_of_the_contract() -> None:
    """Every subject and key of the contract, with an id that needs escaping."""
    key = Key("pcvisit", "acme", "session", "42.7 *")
    assert subject.event_subject(key, "created") == "events.pcvisit.acme.session.created.42=2E7=20=2A"
    assert subject.ingest_subject(key, "created") == "bridge.in.pcvisit.acme.session.created.42=2E7=20=2A"
    assert subject.entity_filter(key) == "events.pcvisit.acme.session.*.42=2E7=20=2A"
    assert subject.state_key(key) == "pcvisit.acme.session.42=2E7=20=2A"
    assert subject.cursor_subject("acme", "sessions.fast") == "bridge.cursor.acme.sessions=2Efast"
    assert subject.owner_subject("Müller GmbH") == "bridge.owner.M=C3=BCller=20GmbH"


@given(AWKWARD, AWKWARD, AWKWARD, AWKWARD)
def test_an_event_subject_has_six_tokens(vendor: str, source: str, entity: str, id_: str) -> None:
    """Always six tokens, whatever stands in them, so that consumers can rely on positions."""
    parts = subject.event_subject(Key(vendor, source, entity, id_), "updated").split(".")
    assert len(parts) == 6
    assert parts[0] == "events"
    assert parts[4] == "updated"
    assert all(SAFE.fullmatch(part) for part in parts)


@pytest.mark.parametrize(
    ("pattern", "subject", "selected"),
    [
        ("events.>", "events.a.b.c.d.e", True),
        ("events.>", "events", False),
        ("events.a.>", "events.a", False),
        (">", "events", True),
        ("events.*.b", "events.a.b", True),
        ("events.*.b", "events.a.c", False),
        ("events.*", "events.a.b", False),
        ("events.a.b", "events.a.b", True),
        ("events.a.b", "events.a.b.c", False),
        ("events.a.b.c", "events.a.b", False),
        ("*.*.>", "events.a", False),
        ("*.*.>", "events.a.b", True),
        ("events.A", "events.a", False),
    ],
)
def test_a_filter_selects_what_the_server_selects(pattern: str, subject: str, selected: bool) -> None:
    """`*` is any one token, `>` at the end one or more."""
    assert matches(pattern, subject) is selected


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("events.>", None),
        ("events.*.a=2Eb.>", None),
        ("events.>.a", "> stands for all that follows, so it comes last"),
        ("events..a", "there is nothing between two dots, or at an end"),
        ("", "there is nothing between two dots, or at an end"),
        ("events.a*", "'a*' cannot stand in a subject; * and > stand alone between dots"),
        ("events.a b", "'a b' cannot stand in a subject; in subjects it is a=20b"),
    ],
)
def test_what_is_wrong_with_a_filter(pattern: str, problem: str | None) -> None:
    """In a sentence."""
    assert filter_problem(pattern) == problem
