"""Socket.IO packets against python-socketio's own encoder, literal packets, and whatever else may arrive."""

from __future__ import annotations

import json
import time
from base64 import b64decode
from typing import Any

import pytest
from engineio import json as process_wide  # type: ignore[import-untyped]
from hypothesis import example, given, settings
from hypothesis import strategies as st
from socketio import packet as oracle  # type: ignore[import-untyped]

from bridge.core.errors import Malformed
from bridge.core.record import Json
from bridge.core.wire.packets import Packet
from bridge.edge.socketio_codec import SocketioCodec
from tests.support.thorough import tries

CODEC = SocketioCodec()

plain = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=8)
keys = st.text(max_size=8).filter(lambda key: key != "_placeholder")
values = st.recursive(
    plain | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)
namespaces = st.sampled_from(["/", "/live", "/über", "/a-1"])
PLACE = '{"_placeholder":true,"num":%s}'


def place(num: str) -> str:
    return PLACE % num


def refusal(text: str) -> Malformed:
    with pytest.raises(Malformed) as caught:
        CODEC.decode(text)
    return caught.value


def raw_of(text: str) -> bytes | None:
    """What the refusal keeps of a text; None if it is not refused."""
    try:
        CODEC.decode(text)
    except Malformed as error:
        return error.raw
    return None


def finite(value: Json) -> bool:
    return json.dumps(value, default=lambda _: "").find("Infinity") < 0


def as_we_show(value: Any) -> Any:
    """The value as the product sees it: bytes as base64."""
    if isinstance(value, bytes):
        return {"base64": value}
    if isinstance(value, list):
        return [as_we_show(item) for item in value]
    return {key: as_we_show(item) for key, item in value.items()} if isinstance(value, dict) else value


def as_sent(value: Any) -> Any:
    """Base64 read again, where that is what stands there."""
    if isinstance(value, list):
        return [as_sent(item) for item in value]
    if isinstance(value, dict):
        if value.keys() == {"base64"} and isinstance(value["base64"], str):
            return {"base64": b64decode(value["base64"], validate=True)}
        return {key: as_sent(item) for key, item in value.items()}
    return value


@given(
    st.sampled_from([oracle.EVENT, oracle.ACK]),
    st.lists(values, max_size=4).filter(finite),
    namespaces,
    st.none() | st.integers(0, 2**53),
)
def test_what_the_library_writes_is_read(kind: int, data: list[Any], namespace: str, id_: int | None) -> None:
    """Text and attachments of its encoder, for every value, namespace and number."""
    frames = oracle.Packet(kind, data=data, namespace=namespace, id=id_).encode()
    text, *attachments = frames if isinstance(frames, list) else [frames]
    packet = CODEC.decode(text)
    for index, attachment in enumerate(attachments):
        assert not isinstance(packet, Packet)
        whole = packet.add(attachment)
        assert (whole is None) is (index + 1 < len(attachments))
        packet = packet if whole is None else whole
    assert isinstance(packet, Packet)
    assert (packet.kind, packet.namespace, packet.id) == (kind, namespace, id_)
    if "base64" not in repr(data):  # a key of that name could be mistaken by this test, not by the product
        assert as_sent(packet.data) == as_we_show(data)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # The examples of the protocol's document, and what servers were seen to send.
        ("0", Packet(0, "/", None, None)),
        ("0/admin", Packet(0, "/admin", None, None)),
        ('0/admin,{"sid":"oSO0OpakMV_3jnilAAAA"}', Packet(0, "/admin", None, {"sid": "oSO0OpakMV_3jnilAAAA"})),
        ('0{"token":"123"}', Packet(0, "/", None, {"token": "123"})),
        ("0/chat?token=abc,", Packet(0, "/chat", None, None)),
        ("1", Packet(1, "/", None, None)),
        ("1/admin,", Packet(1, "/admin", None, None)),
        ('2["foo"]', Packet(2, "/", None, ["foo"])),
        ('2/admin,["bar"]', Packet(2, "/admin", None, ["bar"])),
        ('212["foo"]', Packet(2, "/", 12, ["foo"])),
        ('2["a","1-2",{"b":"-"}]', Packet(2, "/", None, ["a", "1-2", {"b": "-"}])),
        ('2["a",{"_placeholder":true,"num":0}]', Packet(2, "/", None, ["a", {"_placeholder": True, "num": 0}])),
        ('3/admin,13["bar"]', Packet(3, "/admin", 13, ["bar"])),
        ('4{"message":"Not authorized"}', Packet(4, "/", None, {"message": "Not authorized"})),
        ('4"not authorized"', Packet(4, "/", None, "not authorized")),
        ('50-["a"]', Packet(2, "/", None, ["a"])),
        ('2["\\ud83d"]', Packet(2, "/", None, ["\ud83d"])),
    ],
)
def test_literal_packets(text: str, expected: Packet) -> None:
    """Each is read as the protocol's document says."""
    assert CODEC.decode(text) == expected


def test_literal_packets_with_attachments() -> None:
    """The document's examples: binary event and binary answer, with namespace and number."""
    waiting = CODEC.decode(f'51-["baz",{place("0")}]')
    assert not isinstance(waiting, Packet)
    assert waiting.add(b"\x01\x02\x03\x04") == Packet(2, "/", None, ["baz", {"base64": "AQIDBA=="}])
    waiting = CODEC.decode(f"62-/admin,456[{place('1')},{place('0')}]")
    assert not isinstance(waiting, Packet)
    assert waiting.add(b"\x01") is None
    assert waiting.add(b"") == Packet(3, "/admin", 456, [{"base64": ""}, {"base64": "AQ=="}])
    with pytest.raises(Malformed):
        waiting.add(b"one too many")


def test_acknowledgements() -> None:
    """As the library reads them: with the event's number, and without values."""
    assert CODEC.ack("/", 0) == "30[]"
    assert CODEC.ack("/admin", 9007199254740992) == "3/admin,9007199254740992[]"
    assert oracle.Packet(encoded_packet=CODEC.ack("/a", 7)).id == 7


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "an empty Socket.IO packet"),
        *((text, "unknown type") for text in ("7", "9[]", "x", "-", "²", "٢[]", "[]", " 2[]")),
        *(
            (text, "contradict")
            for text in ('21-["a"]', '20-["a"]', '5["a"]', "5", "5-[]", '5x-["a"]', "0٢-", "51-1-[]")
        ),
        ('5٢-["a"]', "contradict"),
        *((text, "a number that is none") for text in ('2٣["a"]', '212٣["a"]', '2/a,٣["a"]')),
        *((text, "more than 64 attachments") for text in ('565-["a"]', "59999999999-[]", "5" + "9" * 5_000 + "-[]")),
        *((text, "not a Socket.IO packet") for text in ('2²["a"]', "2" + "1" * 101 + "[]", '2["\ud83d"]')),
        ("2" + "[" * 10_000, "nested deeper than 100"),
        ("2" + "[" * 10_000 + "]" * 10_000, "nested deeper than 100"),
        ("2" + '{"a":' * 10_000 + "1" + "}" * 10_000, "nested deeper than 100"),
        ("2[" * 100, "not JSON"),
        ('2["a"]x', "not JSON"),
        ("2[NaN]", "not JSON"),
        ("2 ", "empty body"),
        ("2[" + "[]," * 300_000 + "1]", "no record is like that"),
        *(
            (text, "placeholders are not those of its 1 attachments")
            for text in (
                '51-["a"]',
                f"51-[{place('1')}]",
                f"51-[{place('-1')}]",
                f"51-[{place('0.0')}]",
                f"51-[{place('true')}]",
                f"51-[{place('false')}]",
                f"51-[{place('null')}]",
                f"51-[{place('[]')}]",
                f"51-[{place('{}')}]",
                f"51-[{place('1' * 400)}]",
                f"51-[{place('0')},{place('0')}]",
                f'51-[{{"_placeholder":{place("0")},"num":{place("0")}}}]',
                "51-",
            )
        ),
        (f"50-[{place('0')}]", "its 0 attachments"),
    ],
)
def test_what_is_no_packet(text: str, words: str) -> None:
    """Each is named in words, at once; its beginning is for the quarantine and not in the text."""
    begun = time.process_time()
    error = refusal(text)
    assert words in str(error)
    assert error.raw == text[:4096].encode("utf-8", "replace")[:4096]
    assert time.process_time() - begun < 0.8


def test_as_many_attachments_as_we_wait_for() -> None:
    """Sixty-four, and each in its place."""
    waiting = CODEC.decode("564-[" + ",".join(place(str(63 - index)) for index in range(64)) + "]")
    assert not isinstance(waiting, Packet)
    for index in range(63):
        assert waiting.add(bytes([index])) is None
    packet = waiting.add(bytes([63]))
    assert packet is not None
    assert as_sent(packet.data) == [{"base64": bytes([63 - index])} for index in range(64)]


def test_one_attachment_is_not_multiplied() -> None:
    """Ten thousand places for one attachment of a megabyte would be ten gigabytes once written down."""
    error = refusal("51-[" + ",".join([place("0")] * 10_000) + "]")
    assert "placeholders" in str(error)


def test_a_megabyte_is_read_quickly() -> None:
    """Text without end, many small values, many digits, no comma: none takes longer than reading JSON does."""
    size = 1_000_000
    hostile = [
        '2["a","' + "x" * size + '"]',
        '2["a",[' + "1," * (size // 2) + "1]]",
        '2["a",' + '{"k":"1-2,/"},' * (size // 15) + "1]",
        "2" + "1" * size,
        "2" + "1" * size + "\u0663",
        "5" + "1" * size + "-[]",
        "2/" + "x?" * (size // 2),
        "2/" + "x" * size + ',["a"]',
        "2" + "-" * size,
        "2" + " " * size,
    ]
    for text in hostile:
        begun = time.process_time()
        raw = raw_of(text)
        assert raw is None or len(raw) == 4096
        assert time.process_time() - begun < 0.8, text[:20]


syntax = st.text(alphabet='0123456789-/,?[]{}": _placehodrnumt\u0662\u00b2\ud800', max_size=60)
pieces = st.lists(
    st.sampled_from(
        [*"0123456", "1-", "2-", "0-", "/a", ",", "?x", "7", "[", "]", '"a"', "{", "}", ":", place("0"), place("1")]
    )
    | syntax,
    max_size=10,
).map("".join)


@settings(max_examples=tries(150, 1_000))
@given(pieces | syntax | st.text() | st.binary().map(lambda data: data.decode("latin-1")), st.lists(st.binary()))
@example("5", [])
@example('51-[{"_placeholder":true,"num":0}]', [b"", b""])
@example('6/a,1-[{"_placeholder":1,"num":"x"}]', [b""])
def test_any_text_is_a_packet_or_malformed(text: str, attachments: list[bytes]) -> None:
    """Nothing else is ever raised, of whatever kind; what is read is within the promises and can be written down."""
    raw = raw_of(text)
    if raw is not None:
        assert len(raw) <= 4096
        return
    packet = CODEC.decode(text)
    if not isinstance(packet, Packet):
        # Whatever can go wrong with an attachment has been found before the first comes.
        whole = next((whole for data in attachments if (whole := packet.add(data)) is not None), None)
        if whole is None:
            return
        packet = whole
    assert 0 <= packet.kind <= 4
    assert packet.namespace.startswith("/")
    assert "?" not in packet.namespace
    assert packet.id is None or packet.id >= 0
    json.dumps(packet.data)


def test_representations_show_no_payload() -> None:
    """Neither of packets nor of what waits."""
    waiting = CODEC.decode(f'52-["hunter2",{place("0")},{place("1")}]')
    assert not isinstance(waiting, Packet)
    waiting.add(b"hunter2")
    assert repr(waiting) == "<1 of 2 attachments>"
    assert "hunter2" not in repr(CODEC.decode('2["hunter2"]'))


def test_the_library_stays_as_it_is() -> None:
    """Its JSON is shared by the whole process; ours is in a subclass."""
    CODEC.decode('2["a"]')
    assert oracle.Packet.json is process_wide
    assert oracle.Packet(encoded_packet="2[NaN]").data != [None]
