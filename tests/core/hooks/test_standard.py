"""Standard Webhooks: signed and verified as the specification and its own libraries do it."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from bridge.core.hooks import standard
from bridge.core.hooks.keys import Key
from bridge.core.hooks.refusal import Unverified
from bridge.core.secret import Secret
from bridge.core.settings import BadSetting
from bridge.edge import ed25519

# The vectors that the specification's libraries and the reference server publish.
SHARED = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PRIVATE = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
PUBLIC = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
AT_S = 1_614_265_330
NOW_MS = AT_S * 1000
BODY = b'{"test": 2432232314}'
V1 = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
V1A = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="


def key(text: str) -> Key:
    return Key.parse(Secret(text, "env HOOK_KEY"))


def headers(signature: str = V1, *, id_: str = ID, stamp: str = str(AT_S)) -> dict[str, str]:
    return {"webhook-id": id_, "webhook-timestamp": stamp, "webhook-signature": signature}


def verify(
    given: dict[str, str], *keys: str, body: bytes = BODY, now_ms: int = NOW_MS, tolerance_s: float = 300.0
) -> None:
    standard.verify([key(one) for one in keys or (SHARED,)], given, body, now_ms, tolerance_s, ed25519.verify)


def reason(given: dict[str, str], *keys: str, body: bytes = BODY, now_ms: int = NOW_MS) -> str:
    """Why it is refused, with nothing of the request in it."""
    with pytest.raises(Unverified) as caught:
        verify(given, *keys, body=body, now_ms=now_ms)
    assert given.get("webhook-signature", "v1,") not in str(caught.value)
    return str(caught.value)


def test_the_published_vectors() -> None:
    """Both schemes give the published signatures, and verify them."""
    assert standard.sign([key(SHARED)], ID, NOW_MS, BODY)["webhook-signature"] == V1
    assert standard.sign([key(PRIVATE)], ID, NOW_MS, BODY, ed25519.sign)["webhook-signature"] == V1A
    verify(headers(V1))
    verify(headers(V1A), PUBLIC)
    verify(headers(V1A), PRIVATE)


def test_the_specifications_library_reads_what_we_sign() -> None:
    """Signed with two keys, verified by the library with either."""
    other = "whsec_" + base64.b64encode(bytes(range(32))).decode()
    ours = standard.sign([key(SHARED), key(other)], "0a1b", int(time.time() * 1000), BODY)
    for one in (SHARED, other):
        assert Webhook(one).verify(BODY, ours) == {"test": 2432232314}


def test_we_read_what_the_specifications_library_signs() -> None:
    """Its signature of any text is right for us."""
    for text in ('{"a": "ä€😀"}', "", "no json. at all\n"):
        theirs = Webhook(SHARED).sign(ID, datetime.fromtimestamp(AT_S, UTC), text)
        verify(headers(theirs), body=text.encode())


def test_keys_and_signatures_in_rotation() -> None:
    """One of several keys and one of several signatures are enough, in any order, of any versions."""
    other = "whsec_" + base64.b64encode(bytes(32)).decode()
    wrong = "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc="
    verify(headers(f"{wrong} v2,{V1[3:]} {V1A} {V1} {wrong}"), other, SHARED)
    verify(headers(f"{wrong} {V1A} {V1}"), other, PUBLIC)
    assert "no signature" in reason(headers(f"{wrong} v2,{V1[3:]} v1a,{V1[3:]} v1 {V1[3:]} v1,"), other, SHARED)
    assert "more than 16" in reason(headers(" ".join([wrong] * 17 + [V1])))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "webhook-id is missing"),
        (headers(id_=""), "webhook-id is missing"),
        ({name: value for name, value in headers().items() if name != "webhook-timestamp"}, "timestamp is missing"),
        ({name: value for name, value in headers().items() if name != "webhook-signature"}, "signature is missing"),
        (headers(stamp="soon"), "no whole number of seconds"),
        (headers(stamp=f"{AT_S}.0"), "no whole number of seconds"),
        (headers(stamp=f"+{AT_S}"), "no whole number of seconds"),
        (headers(stamp=f"0{AT_S}"), "no whole number of seconds"),
        (headers(stamp="١٦١٤٢٦٥٣٣٠"), "no whole number of seconds"),
        (headers(stamp="9" * 400), "no whole number of seconds"),
        (headers(stamp="-1"), "no whole number of seconds"),
        (headers(id_="a.b"), "webhook-id holds"),
        (headers(id_="a b"), "webhook-id holds"),
        (headers(id_="ä"), "webhook-id holds"),
        (headers(id_="a" * 257), "webhook-id holds"),
        (headers("v1,ü"), "no signature"),
        (headers("v1,\udc80"), "no signature"),
        (headers("v1a,\udc80"), "no signature"),
        (headers("v1," + V1[3:].rstrip("=")), "no signature"),
    ],
)
def test_headers_that_are_refused(given: dict[str, str], expected: str) -> None:
    """Each with the reason, and nothing but Unverified is raised."""
    assert expected in reason(given)


def test_the_replay_window() -> None:
    """Five minutes both ways, to the second; a day off is told as what it is."""
    for off_s in (-300, 0, 300):
        verify(headers(), now_ms=NOW_MS + off_s * 1000)
    assert "301 s behind this machine's clock" in reason(headers(), now_ms=NOW_MS + 301_000)
    assert "301 s ahead of this machine's clock" in reason(headers(), now_ms=NOW_MS - 301_000)
    assert "86400 s behind" in reason(headers(), now_ms=NOW_MS + 86_400_000)
    # Of a clock that a stranger claims to have nothing is said.
    assert "no signature" in reason(headers("v1,AAAA"), now_ms=NOW_MS + 86_400_000)


def test_an_id_cannot_be_shifted_into_the_time() -> None:
    """`id.1` at `T`, signed for the body `x`, is not `id` at `1` with the body `T.x`."""
    ours = standard.sign([key(SHARED)], "msg", 1_000, b"1614265330.{}")
    assert ours["webhook-signature"]
    shifted = {**ours, "webhook-id": "msg.1", "webhook-timestamp": "1614265330"}
    assert "full stop" in reason(shifted, body=b"{}")


def test_another_prefix() -> None:
    """Some senders name the three headers after themselves."""
    ours = standard.sign([key(SHARED)], ID, NOW_MS, BODY, prefix="svix")
    assert sorted(ours) == ["svix-id", "svix-signature", "svix-timestamp"]
    standard.verify([key(SHARED)], ours, BODY, NOW_MS, prefix="svix")
    with pytest.raises(Unverified, match="webhook-id is missing"):
        standard.verify([key(SHARED)], ours, BODY, NOW_MS)


def test_without_ed25519_a_key_pair_verifies_nothing() -> None:
    """It is refused, not waved through."""
    with pytest.raises(Unverified):
        standard.verify([key(PUBLIC)], headers(V1A), BODY, NOW_MS)


def test_no_key_verifies_nothing() -> None:
    """Also with a signature by the empty key."""
    with pytest.raises(Unverified):
        standard.verify([], headers(), BODY, NOW_MS)


def test_what_cannot_sign() -> None:
    """A public key, a private one without the library, and ids that no receiver would verify."""
    for one in (PUBLIC, PRIVATE):
        with pytest.raises(ValueError, match="env HOOK_KEY cannot sign"):
            standard.sign([key(one)], ID, NOW_MS, BODY)
    for id_ in ("", "a.b", "a b", "ä"):
        with pytest.raises(ValueError, match="printable ASCII"):
            standard.sign([key(SHARED)], id_, NOW_MS, BODY)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "begins with whsec_"),
        ("", "begins with whsec_"),
        ("whsec_%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%", "not base64"),
        ("whsec_äöüÄÖÜäöüÄÖÜäöüÄÖÜäöüÄÖÜäöüÄÖÜ", "not base64"),
        ("whsec_c2hvcnQ=", "has 5 bytes"),
        ("whsec_" + base64.b64encode(bytes(65)).decode(), "has 65 bytes"),
        ("whpk_" + base64.b64encode(bytes(31)).decode(), "has 31 bytes"),
        ("whsk_" + base64.b64encode(bytes(33)).decode(), "has 33 bytes"),
        ("hwsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "begins with whsec_"),
    ],
)
def test_keys_that_are_none(text: str, expected: str) -> None:
    """Refused where they are configured, by name, without being shown."""
    with pytest.raises(BadSetting, match="env HOOK_KEY") as caught:
        key(text)
    assert expected in str(caught.value)
    assert caught.value.__cause__ is None
    assert not text or text not in repr(caught.value)


def test_keys_as_people_paste_them() -> None:
    """With a line break, without padding, with the version in front; and none of it is in the repr."""
    padded = "whsec_" + base64.b64encode(bytes(range(25))).decode()
    for text in (f" {padded}\n", padded.rstrip("="), f"v1,{padded}"):
        found = key(text)
        assert (found.kind, found.value) == ("shared", bytes(range(25)))
    assert repr(key(SHARED)) == "Key(kind='shared', origin='env HOOK_KEY')"
    assert "18 bytes" in key("whsec_plJ3nmyCDGBKInavdOK15jsl").weak
    assert key(SHARED).weak == ""
    assert [key(one).verifies for one in (SHARED, PUBLIC, PRIVATE)] == [True, True, True]
    assert [key(one).signs for one in (SHARED, PUBLIC, PRIVATE)] == [True, False, True]
    alone = Key.parse(Secret("whsk_" + base64.b64encode(base64.b64decode(PRIVATE[5:])[:32]).decode()))
    assert (alone.verifies, ed25519.public(alone.value)) == (False, base64.b64decode(PUBLIC[5:]))


def flips(data: bytes) -> Iterator[bytes]:
    """`data` with one bit changed, for each of its bits."""
    for bit in range(len(data) * 8):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        yield bytes(changed)


@pytest.mark.parametrize(("one", "signature"), [(SHARED, V1), (PUBLIC, V1A)])
def test_any_flipped_bit_is_refused(one: str, signature: str) -> None:
    """Each bit of the body, the id, the time and the signature: also those that base64 does not use."""
    for body in flips(BODY):
        with pytest.raises(Unverified):
            verify(headers(signature), one, body=body)
    for name, value in headers(signature).items():
        for changed in flips(value.encode("ascii")):
            with pytest.raises(Unverified):
                verify({**headers(signature), name: changed.decode("latin-1")}, one, tolerance_s=1e15)


@given(
    st.dictionaries(st.sampled_from(sorted(headers())), st.text(st.characters(exclude_categories=[])) | st.just(V1)),
    st.binary(),
)
def test_nothing_else_is_ever_raised(given: dict[str, str], body: bytes) -> None:
    """Whatever comes in headers and body: Unverified, and no other error."""
    with pytest.raises(Unverified):
        verify(given, SHARED, PUBLIC, body=body)


@given(st.binary(), st.from_regex(r"[!-\-/-~]{1,256}", fullmatch=True), st.integers(0, 10**14))
def test_what_we_sign_we_verify(body: bytes, id_: str, now_ms: int) -> None:
    """Any bytes, any id, any time, by both schemes at once."""
    ours = standard.sign([key(SHARED), key(PRIVATE)], id_, now_ms, body, ed25519.sign)
    verify(ours, SHARED, body=body, now_ms=now_ms)
    verify(ours, PUBLIC, body=body, now_ms=now_ms)
