"""Secrets cannot be printed, and known ones are taken out of any text."""

from __future__ import annotations

import copy
import html
import json
import pickle
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.secret import MASK, Masker, Secret

VALUE = "s3cr3t-Wert/42"
TRICKY = 'pä ss/"w\\or&d<%\n+='

VALUES = st.text(st.characters(exclude_categories=()), min_size=Masker.SHORTEST, max_size=20).filter(
    lambda value: value not in MASK
)


@dataclass
class Holder:
    token: Secret


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        "{}".format,
        "{!r:>40}".format,
        lambda secret: f"{secret}",
        lambda secret: "%s %r" % (secret, secret),  # noqa: UP031 - the old form is tried on purpose
        lambda secret: repr([secret, {"k": secret}]),
        lambda secret: repr(Holder(secret)),
        lambda secret: str(ValueError(secret)),
        lambda secret: json.dumps({"token": secret}, default=str),
        lambda secret: repr(secret.prefixed("Bearer ")),
        lambda secret: " ".join(dir(secret)),
    ],
)
def test_a_secret_is_never_shown(show: Callable[[Secret], str]) -> None:
    """However it is turned into text, the value is not in it."""
    for secret in (Secret(VALUE), Secret(VALUE, "env TOKEN"), Secret(VALUE, prefix="Bearer ")):
        assert VALUE not in show(secret)


def test_a_secret_names_its_origin() -> None:
    """An error text can say which secret it was."""
    assert repr(Secret(VALUE, "env TOKEN")) == "Secret('env TOKEN')"
    assert repr(Secret(VALUE)) == "Secret('[secret]')"


def test_a_traceback_with_local_variables_does_not_show_it() -> None:
    """Tracebacks that print every local variable print the origin only."""

    def fail(token: Secret) -> None:
        raise RuntimeError(f"refused with {token}")

    try:
        fail(Secret(VALUE, "env TOKEN"))
    except RuntimeError as error:
        shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    # This test's own frame names the constant by its literal only through the source line above, not its value.
    assert "env TOKEN" in shown
    assert VALUE not in shown


@pytest.mark.parametrize("leave", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_secret_does_not_leave_the_process(leave: Callable[[Secret], object]) -> None:
    """Pickling and copying are refused, without showing the value."""
    with pytest.raises(TypeError, match="cannot be pickled") as caught:
        leave(Secret(VALUE))
    assert VALUE not in str(caught.value)


def test_reveal_and_bare() -> None:
    """The edge gets prefix and value; the masker gets the value alone."""
    bearer = Secret(VALUE, "env TOKEN").prefixed("Bearer ")
    assert bearer.reveal() == "Bearer " + VALUE
    assert bearer.bare() == VALUE
    assert bearer.origin == "env TOKEN"


def test_equality_and_truth() -> None:
    """Secrets compare by what they reveal, never with text; an empty one is false."""
    assert Secret("a", "env A") == Secret("a", "env B")
    assert Secret("a") != Secret("a", prefix="x")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a", "env A"), Secret("b")}) == 2
    assert not Secret("")


# Masking

SPELLINGS: list[Callable[[str], str]] = [
    str,
    lambda value: quote(value, safe=""),
    quote,
    quote_plus,
    lambda value: quote(value, safe="").lower(),
    lambda value: json.dumps(value)[1:-1],
    lambda value: json.dumps(value, ensure_ascii=False)[1:-1],
    lambda value: json.dumps(value)[1:-1].replace("/", r"\/"),
    lambda value: repr(value)[1:-1],
    html.escape,
]


@pytest.mark.parametrize("spell", SPELLINGS)
@pytest.mark.parametrize("value", [VALUE.lower(), TRICKY, "x" * 400 + "==", "a b/c?d&e=f"])
def test_every_usual_spelling_is_masked(spell: Callable[[str], str], value: str) -> None:
    """A secret that comes back in a URL, in JSON, in HTML or in a repr is recognised."""
    masker = Masker([Secret(value)])
    assert masker.mask(f"before {spell(value)} after") == f"before {MASK} after"


def test_mixed_spellings_are_masked() -> None:
    """URL libraries quote some characters and leave others: any mixture is recognised."""
    assert Masker([Secret("p/q r@s:t")]).mask("?x=p/q%20r@s%3at&y") == f"?x={MASK}&y"


@given(VALUES, st.text(), st.text())
def test_nothing_of_a_known_secret_is_left(value: str, before: str, after: str) -> None:
    """Wherever it stands, once masked the text no longer holds it, unless the mask itself completes it."""
    masked = Masker([Secret(value)]).mask(f"{before}{value}{after}")
    assert MASK in masked
    assert value not in masked.replace(MASK, "\N{REPLACEMENT CHARACTER}" if "\ufffd" not in value else "\0")


@given(st.text())
def test_innocent_text_is_left_alone(text: str) -> None:
    """Without a secret in it a text stays what it is."""
    assert Masker().mask(text) == text
    assert Masker([Secret("\x01unlikely\x02")]).mask(text) == text


def test_the_longer_secret_is_masked_whole() -> None:
    """Where one secret contains another nothing of the longer one stays behind."""
    masker = Masker([Secret("abcdef"), Secret("abcdef-and-more")])
    assert masker.mask("abcdef-and-more abcdef") == f"{MASK} {MASK}"


def test_learned_secrets_are_masked() -> None:
    """A token is masked from the moment it is known, with and without its prefix."""
    masker = Masker()
    masker.add(Secret(VALUE, prefix="Bearer "))
    assert masker.mask(f"Authorization: Bearer {VALUE}") == f"Authorization: Bearer {MASK}"


def test_short_values_are_not_masked() -> None:
    """A value of five characters would blot out innocent words."""
    masker = Masker([Secret("token")])
    masker.add(Secret("abcde"))
    assert masker.mask("the token abcde") == "the token abcde"


def test_tokens_never_push_out_configured_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many tokens were learned, the configured secrets stay known, and so do the newest tokens."""
    monkeypatch.setattr(Masker, "MOST_LEARNED", 64)
    masker = Masker([Secret("configured")])
    masker.add(Secret("configured"))
    for number in range(Masker.MOST_LEARNED + 50):
        masker.add(Secret(f"learned-{number:05d}"))
    assert masker.mask("configured") == MASK
    assert masker.mask(f"learned-{Masker.MOST_LEARNED + 49:05d}") == MASK
    assert masker.mask("learned-00000") == "learned-00000"


class Pair(NamedTuple):
    name: str
    value: Any


def test_masking_inside_data() -> None:
    """Every string and byte string in nested data is masked, keys included; the rest stays as it is."""
    masker = Masker([Secret(VALUE)])
    tree = {
        VALUE: [VALUE, 1, None, True],
        "tuple": (VALUE, Pair("x", VALUE)),
        "bytes": b"\xff" + VALUE.encode(),
        "view": MappingProxyType({"k": VALUE}),
        "number": 4.5,
    }
    assert masker.mask_tree(tree) == {
        MASK: [MASK, 1, None, True],
        "tuple": (MASK, ("x", MASK)),
        "bytes": b"\xff" + MASK.encode(),
        "view": {"k": MASK},
        "number": 4.5,
    }
    assert VALUE in tree


def test_whatever_looks_like_a_jwt_is_masked() -> None:
    """Tokens that this process never knew (an earlier life's, a colleague's) do not pass either."""
    token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl-_"
    assert Masker().mask(f"refused: {token}!") == f"refused: {MASK}!"
    assert Masker().mask("eyJust a word. and. more") == "eyJust a word. and. more"


def test_found_in_knows_secrets_as_json_spells_them() -> None:
    """An event's payload is searched for the configured secrets, escaped or not."""
    masker = Masker([Secret('quote"and\\slash'), Secret("plain-secret")])
    assert masker.found_in(json.dumps({"x": 'a quote"and\\slash b'}).encode())
    assert masker.found_in(b'{"x": "plain-secret"}')
    assert not masker.found_in(b'{"x": "harmless"}')


def test_a_fingerprint_tells_equal_from_different_and_nothing_else() -> None:
    """Sixteen hex digits, the same for the same value whatever its origin and prefix."""
    mark = Secret("s3cr3t-value", "env A").fingerprint()
    assert mark == Secret("s3cr3t-value", "env B", prefix="Bearer ").fingerprint()
    assert mark != Secret("s3cr3t-valuf").fingerprint()
    assert len(mark) == 16
    assert int(mark, 16) >= 0


def test_found_in_knows_every_token_that_was_learned() -> None:
    """Another source's, and the old one during a handover: long or short, wherever it stands, as JSON spells it."""
    masker = Masker()
    assert not masker.found_in(b'{"x": "learned \\"token\\" 1"}')
    masker.add(Secret('learned "token" 1'))
    masker.add(Secret("short-1"))
    masker.add(Secret("exactly-15-byte"))
    for number in range(60):
        masker.add(Secret(f"other-{number}"))
        masker.add(Secret(f"another-source's-token-{number:03d}"))
    for padding in range(17):
        before = b"x" * padding
        assert masker.found_in(before + b'learned \\"token\\" 1')
        assert masker.found_in(before + b'learned "token" 1')
        assert masker.found_in(before + b"exactly-15-byte")
        assert masker.found_in(before + b"short-1" + before)
        assert masker.found_in(before + b"another-source's-token-000" + before)
        assert masker.found_in(before + b"another-source's-token-059")
        # Its last block stands there, the rest does not.
        assert not masker.found_in(before + b"s-token-000" + before)
    assert not masker.found_in(b"")
    assert not masker.found_in(b"x" * 2000)


def test_found_in_forgets_what_masking_forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest token beyond the bound; one that was learned again is no longer the oldest."""
    assert Masker.MOST_LEARNED == 1024
    monkeypatch.setattr(Masker, "MOST_LEARNED", 64)
    masker = Masker()
    masker.add(Secret("the-oldest-token-of-all"))
    masker.add(Secret("the-second-oldest-token"))
    masker.add(Secret("the-oldest-token-of-all"))
    for number in range(63):
        masker.add(Secret(f"renewed-token-{number:05d}"))
    assert masker.found_in(b"the-oldest-token-of-all")
    assert masker.mask("the-oldest-token-of-all") == MASK
    assert not masker.found_in(b"the-second-oldest-token")
    assert masker.found_in(b"renewed-token-00000")


LONG = "/+" * 8190


@pytest.mark.parametrize("spell", [spell for spell in SPELLINGS if spell is not html.escape])
def test_a_very_long_secret_is_masked_and_costs_no_time(spell: Callable[[str], str]) -> None:
    """A token as long as any header takes is learned within a moment, and masked as JSON or URLs spell it."""
    masker = Masker()
    began = time.process_time()
    masker.add(Secret(LONG))
    assert time.process_time() - began < 0.5
    assert masker.mask(f"before {spell(LONG)} after") == f"before {MASK} after"


def test_secrets_given_anew_are_masked_and_so_are_those_before_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rotated one stays masked for as long as tokens do; one that is still given is never pushed out."""
    monkeypatch.setattr(Masker, "MOST_LEARNED", 64)
    masker = Masker([Secret("old-secret-1"), Secret("kept-secret")])
    masker.renew([Secret("new-secret-1"), Secret("kept-secret")])
    text = "old-secret-1 kept-secret new-secret-1"
    assert masker.mask(text) == "[secret] [secret] [secret]"
    assert all(masker.found_in(f'{{"a": "{secret}"}}'.encode()) for secret in text.split())
    for number in range(Masker.MOST_LEARNED):
        masker.add(Secret(f"token-{number:08}"))
    assert masker.mask(text) == "old-secret-1 [secret] [secret]"
    assert masker.found_in(b'{"a": "kept-secret"}')
    assert not masker.found_in(b'{"a": "old-secret-1"}')
