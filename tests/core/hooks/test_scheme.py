"""HMAC in a header: what well-known vendors do is said by keys alone, and what is not right is refused."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.hooks.keys import Key
from bridge.core.hooks.refusal import Unverified
from bridge.core.hooks.scheme import HmacScheme
from bridge.core.secret import Secret
from bridge.core.settings import BadSetting

NOW_MS = 1_600_000_000_000
GITHUB = {"header": "X-Hub-Signature-256", "prefix": "sha256="}
SLACK = {
    "header": "X-Slack-Signature",
    "prefix": "v0=",
    "timestamp_header": "X-Slack-Request-Timestamp",
    "signed": "v0:{timestamp}:{body}",
}
STRIPE = {"header": "Stripe-Signature", "prefix": "v1=", "timestamp_prefix": "t=", "signed": "{timestamp}.{body}"}


def key(text: str = "It's a Secret to Everybody") -> Key:
    return Key.raw(Secret(text, "env HOOK"))


def sign(text: str, secret: str = "It's a Secret to Everybody", algorithm: str = "sha256") -> str:
    return hmac.new(secret.encode(), text.encode(), getattr(hashlib, algorithm)).hexdigest()


def reason(scheme: HmacScheme, headers: dict[str, str], body: bytes = b"Hello, World!", now_ms: int = NOW_MS) -> str:
    with pytest.raises(Unverified) as caught:
        scheme.verify([key()], headers, body, now_ms)
    return str(caught.value)


def test_the_vector_of_github() -> None:
    """The example in GitHub's documentation of webhooks."""
    signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    HmacScheme(**GITHUB).verify([key()], {"x-hub-signature-256": signature}, b"Hello, World!", NOW_MS)  # type: ignore[arg-type]
    assert "no signature is by" in reason(HmacScheme(**GITHUB), {"x-hub-signature-256": signature}, b"Hello, World?")  # type: ignore[arg-type]


def test_the_vector_of_slack() -> None:
    """The example in Slack's documentation of signed requests."""
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&"
        b"channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&"
        b"response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&"
        b"trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    headers = {
        "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        "x-slack-request-timestamp": "1531420618",
    }
    secret = [key("8f742231b10e8888abcd99yyyzzz85a5")]
    scheme = HmacScheme(**SLACK)  # type: ignore[arg-type]
    scheme.verify(secret, headers, body, 1_531_420_618_000)
    with pytest.raises(Unverified, match="301 s behind"):
        scheme.verify(secret, headers, body, 1_531_420_919_000)


def test_time_and_several_signatures_in_one_header() -> None:
    """As Stripe does while a key is exchanged: any one by any key is enough; other versions are passed over."""
    good = sign('1600000000.{"id":1}')
    scheme = HmacScheme(**STRIPE)  # type: ignore[arg-type]
    for header in (
        f"t=1600000000,v1={good}",
        f"t=1600000000, v1={'0' * 64}, v1={good}, v0=6ffbb59b2300aae63f272406069a9788598b792a944a07aba816edb039989a39",
        f"v1={good.upper()},t=1600000000",
    ):
        scheme.verify([key("another"), key()], {"stripe-signature": header}, b'{"id":1}', NOW_MS)
    for header, expected in (
        (f"v1={good}", "tells no times"),
        (f"t=1600000000,t=1600000001,v1={good}", "tells 2 times"),
        (f"t=1600000000,v0={good}", "no signature that begins with v1="),
        (f"t=1600000001,v1={good}", "no signature is by"),
        (f"t=16e8,v1={good}", "no whole number"),
        (",".join(["t=1600000000", *[f"v1={'0' * 64}"] * 16]), "more than 16 parts"),
        ("", "stripe-signature is missing"),
    ):
        assert expected in reason(scheme, {"stripe-signature": header}, b'{"id":1}'), header


def test_other_spellings() -> None:
    """Base64, SHA-512 and SHA-1, milliseconds, RFC 3339, another separator, other headers in what is signed."""
    secret = [Key.raw(Secret("6b6579"), "hex")]
    assert secret[0].value == b"key"
    body = b"The quick brown fox jumps over the lazy dog"
    vector = "97yD9DBThCSxMpjmqm+xQ+9NWaFJRhdZl0edvC0aPNg="  # the HMAC-SHA256 of many textbooks
    HmacScheme(header="x", encoding="base64").verify(secret, {"x": vector}, body, NOW_MS)
    sha1 = HmacScheme(header="x", algorithm="sha1")
    sha1.verify(secret, {"x": "de7c9b85b8b78aa6bc8a7a36f70a90701c9db4d9"}, body, NOW_MS)
    assert [where for where, _ in sha1.warnings()] == ["algorithm", "timestamp_header"]
    sha512 = sign("x", "key", "sha512")
    HmacScheme(header="x", algorithm="sha512").verify(secret, {"x": sha512}, b"x", NOW_MS)
    timed: dict[str, Any] = {"header": "x", "timestamp_header": "at", "signed": "{header.Id}{timestamp}{{{body}"}
    for unit, stamp in (("ms", "1600000000000"), ("rfc3339", "2020-09-13T12:26:40Z")):
        headers = {"x": sign(f"7{stamp}{{b", "key"), "id": "7", "at": stamp}
        scheme = HmacScheme(**timed, timestamp_unit=unit)  # type: ignore[arg-type]
        scheme.verify(secret, headers, b"b", NOW_MS)
        assert not list(scheme.warnings())
        with pytest.raises(Unverified, match="header id is missing"):
            scheme.verify(secret, {"x": headers["x"], "at": stamp}, b"b", NOW_MS)
        with pytest.raises(Unverified, match="the timestamp is no"):
            scheme.verify(secret, {**headers, "at": "yesterday"}, b"b", NOW_MS)
    semicolons = HmacScheme(
        header="p", prefix="h1=", timestamp_prefix="ts=", separator=";", signed="{timestamp}:{body}"
    )
    semicolons.verify(secret, {"p": f"ts=1600000000;h1={sign('1600000000:b', 'key')}"}, b"b", NOW_MS)
    assert semicolons.credentials == ("p",)


@pytest.mark.parametrize(
    ("given", "at", "expected"),
    [
        ({"header": ""}, "header", "name of a header"),
        ({"header": "x y"}, "header", "name of a header"),
        ({"header": "x", "timestamp_header": "ä"}, "timestamp_header", "name of a header"),
        ({"header": "x", "signed": "{timestamp}.{body}"}, "signed", "where {timestamp} comes from"),
        ({"header": "x", "timestamp_header": "t"}, "signed", "without {timestamp}"),
        ({"header": "x", "signed": "x"}, "signed", "without {body}"),
        ({"header": "x", "signed": "{body}{url}"}, "signed", "expected {body}"),
        ({"header": "x", "signed": "{body}}"}, "signed", "expected {body}"),
        ({"header": "x", "signed": "{header.}{body}"}, "signed", "expected {body}"),
        ({"header": "x", "separator": ""}, "separator", "one character"),
        ({"header": "x", "separator": "a"}, "separator", "one character"),
        ({"header": "x", "timestamp_prefix": "v=", "prefix": "v="}, "timestamp_prefix", "same prefix"),
        ({"header": "x", "timestamp_prefix": "t=", "timestamp_header": "t"}, "timestamp_prefix", "not in both"),
    ],
)
def test_schemes_that_contradict_themselves(given: dict[str, Any], at: str, expected: str) -> None:
    """Refused when they are made, with the key that is wrong."""
    with pytest.raises(BadSetting) as caught:
        HmacScheme(**given)
    assert expected in str(caught.value)
    assert list(caught.value.key) == [at]


@pytest.mark.parametrize(("text", "spelling"), [("xyz", "hex"), ("%%%", "base64"), ("", "text")])
def test_raw_keys_that_are_none(text: str, spelling: Any) -> None:
    """Named, and not shown."""
    with pytest.raises(BadSetting, match="env HOOK") as caught:
        Key.raw(Secret(text, "env HOOK"), spelling)
    assert not text or text not in str(caught.value)


@given(st.sampled_from(["body", "stripe-signature"]), st.integers(0, 4000))
def test_any_flipped_bit_is_refused(where: str, bit: int) -> None:
    """In the body, and in the signature and the time."""
    body = b'{"id":1,"name":"x"}'
    headers = {"stripe-signature": f"t=1600000000,v1={sign('1600000000.' + body.decode())}"}
    changed = bytearray(body if where == "body" else headers[where].encode())
    bit %= len(changed) * 8
    changed[bit // 8] ^= 1 << bit % 8
    if where == "body":
        body = bytes(changed)
    else:
        headers[where] = changed.decode("latin-1")
    with pytest.raises(Unverified):
        HmacScheme(**STRIPE).verify([key()], headers, body, NOW_MS, 1e15)  # type: ignore[arg-type]


@given(st.dictionaries(st.sampled_from(["x", "at", "id"]), st.text(st.characters(exclude_categories=[]))), st.binary())
def test_nothing_else_is_ever_raised(headers: dict[str, str], body: bytes) -> None:
    """Whatever comes in headers and body."""
    for scheme in (
        HmacScheme(header="x", timestamp_header="at", signed="{header.id}{timestamp}{body}", timestamp_unit="rfc3339"),
        HmacScheme(header="x", timestamp_prefix="t", signed="{header.id}{timestamp}{body}", encoding="base64"),
        HmacScheme(header="x", signed="{header.id}{header.at}{body}"),
    ):
        with pytest.raises(Unverified):
            scheme.verify([key()], headers, body, NOW_MS)


@pytest.mark.parametrize("added", ["\u00a0", "\u0085", "\u2003", "\u3000"])
def test_blanks_that_are_none_of_http_are_part_of_what_is_signed(added: str) -> None:
    """Left out of it, they would make another name of a request that is repeated."""
    scheme = HmacScheme(header="x", signed="{header.webhook-id}.{body}")
    headers = {"x": sign("one.{}"), "webhook-id": "one"}
    scheme.verify([key()], headers, b"{}", NOW_MS)
    with pytest.raises(Unverified, match="no signature"):
        scheme.verify([key()], {**headers, "webhook-id": f"one{added}"}, b"{}", NOW_MS)
