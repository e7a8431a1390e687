"""Many secrets are known at once: each is masked, none is searched for by itself, and none that left is kept."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from bridge.core.secret import MASK, Masker, Secret
from tests.core.test_secret import SPELLINGS

MANY = [
    *(f"a-source's-own-token-{number:03d}" for number in range(30)),
    *(f"token-in-base64-{number:03d}/+==" for number in range(30)),
    *(f"pä ss/{number:02d}" for number in range(10)),
    *(f"{number:02d}/with+signs/at=every/few" for number in range(10)),
    "token-in-base64-007",
    "token-in-base64-007/+==and-more",
]
"""Plain; of which a piece is spelled the same everywhere; short; long without such a piece; and such as hold others."""


@pytest.mark.parametrize("spell", SPELLINGS)
@pytest.mark.parametrize("learned", [False, True])
def test_each_of_many_is_masked_in_every_spelling(spell: Callable[[str], str], learned: bool) -> None:
    """Among many that are known none is passed over, wherever it stands; what merely ends like one is left alone."""
    masker = Masker() if learned else Masker(map(Secret, MANY))
    for value in MANY if learned else ():
        masker.add(Secret(value))
    for number, value in enumerate(MANY):
        before = "x" * (number % 9) + " ö "
        assert masker.mask(f"{before}{spell(value)} after") == f"{before}{MASK} after", value
        assert masker.found_in(json.dumps({"x": before + value + before}).encode()), value
        assert masker.found_in(json.dumps({"x": before + value}, ensure_ascii=False).encode()), value
    for innocent in ("not-a-source's-own-token-0", "ce-in-base64-009", "e-in-base64-011/+==", "x" * 2000):
        assert masker.mask(innocent) == innocent
        assert not masker.found_in(innocent.encode())


def test_who_leaves_is_left_alone_and_who_stays_is_masked() -> None:
    """Given twice, learned as well, and given no more: masked for as long as any of that holds."""
    masker = Masker([*map(Secret, MANY), Secret(MANY[0])])
    masker.add(Secret(MANY[0]))
    masker.renew(map(Secret, MANY[1:]))
    masker.renew(map(Secret, MANY))
    masker.renew([])
    assert [masker.mask(value) for value in MANY] == [MASK] * len(MANY)
    for number in range(Masker.MOST_LEARNED):
        masker.add(Secret(f"a-token-of-later-{number:04d}"))
    assert [masker.mask(value) for value in MANY] == MANY
    assert not any(masker.found_in(value.encode()) for value in MANY)
    # Nor is anything of them kept.
    again = Masker()
    for number in range(Masker.MOST_LEARNED):
        again.add(Secret(f"a-token-of-later-{number:04d}"))
    assert masker._times == again._times


def test_a_token_among_many_is_learned_and_looked_for_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where hundreds of sources learn a token each, one more arranges nothing anew, and no text is searched for all."""
    masker = Masker(Secret(f"a-source's-own-token-{number:03d}") for number in range(300))
    arranged: list[None] = []
    monkeypatch.setattr(Masker, "_arrange", lambda _: arranged.append(None))
    for number in range(300):
        masker.add(Secret(f"a-source's-own-token-{number:03d}"))
        masker.add(Secret(f"a-token-that-was-issued-{number:03d}"))
    assert not arranged
    assert not masker._candidates("the live session was opened")
    assert masker.mask("a-token-that-was-issued-299") == MASK
