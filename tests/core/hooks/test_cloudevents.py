"""CloudEvents over HTTP: what the CloudEvents SDK sends we read, and what breaks the specification is refused."""

from __future__ import annotations

import base64
import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from cloudevents.core.bindings import http as sdk
from cloudevents.core.v1.event import CloudEvent as SdkEvent
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.errors import Malformed
from bridge.core.hooks.cloudevents import BATCH, STRUCTURED, CloudEvent, mode, read
from bridge.core.hooks.refusal import Unsupported

REQUIRED = {"specversion": "1.0", "id": "A234-1234-1234", "source": "/mycontext", "type": "com.example.someevent"}
HEADERS = {f"ce-{name}": value for name, value in REQUIRED.items()}
JSON = {**HEADERS, "content-type": "application/json"}


def binary(body: bytes = b"{}", /, **more: Any) -> CloudEvent:
    """One event by headers; `None` takes one away."""
    headers = {name.replace("_", "-"): value for name, value in more.items()}
    [event] = read({name: value for name, value in {**JSON, **headers}.items() if value is not None}, body)
    return event


def structured(**more: Any) -> CloudEvent:
    """One event in the body."""
    [event] = read({"content-type": STRUCTURED}, json.dumps({**REQUIRED, **more}).encode())
    return event


def lower(headers: dict[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


# --- the SDK as sender -------------------------------------------------------------------------------------------

ATTRIBUTES = {
    "id": "Ünï “quoted” 100%",
    "source": "https://example.com/cloudevents?a=b",
    "type": "com.example.sampletype1",
    "subject": "Euro € 😀",
    "time": datetime(2018, 4, 5, 17, 31, tzinfo=UTC),
    "dataschema": "https://example.com/schema/1",
    "comexampleextension1": "value with spaces",
    "comexampleothervalue": 5,
}


@pytest.mark.parametrize(
    ("content_type", "data", "expected"),
    [
        ("application/json", {"appinfoA": "äbc", "appinfoB": 123, "appinfoC": [True, None]}, None),
        ("application/vnd.acme+json", {"a": 1}, None),
        ("text/plain", "Grüße", None),
        ("application/xml", '<much wow="xml"/>', None),
        ("image/png", b"\x89PNG\x00\xff", base64.b64encode(b"\x89PNG\x00\xff").decode()),
    ],
)
def test_what_the_sdk_sends(content_type: str, data: Any, expected: Any) -> None:
    """In binary, structured and batched mode: the same attributes and the same data."""
    event = SdkEvent({**ATTRIBUTES, "datacontenttype": content_type}, data)
    one, other = sdk.to_binary_event(event), sdk.to_structured_event(event)
    batch = b"[" + other.body + b"," + other.body + b"]"
    found = [
        *read(lower(one.headers), one.body),
        *read(lower(other.headers), other.body),
        *read({"content-type": f"{BATCH}; charset=UTF-8"}, batch),
    ]
    assert len(found) == 4
    for got in found:
        assert got.data == (data if expected is None else expected)
        assert got.binary == (expected is not None)
        assert got.id == (ATTRIBUTES["source"], ATTRIBUTES["id"])
        assert {**got.attributes, "comexampleothervalue": "5"} == {
            **ATTRIBUTES,
            "specversion": "1.0",
            "time": "2018-04-05T17:31:00Z",
            "datacontenttype": content_type,
            "comexampleothervalue": "5",
        }
    assert found[0].attributes["comexampleothervalue"] == "5"  # headers have no types
    assert found[1].attributes["comexampleothervalue"] == 5


# --- modes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"content-type": STRUCTURED}, "structured"),
        ({"content-type": 'Application/CloudEvents+JSON ; charset="utf-8"'}, "structured"),
        ({"content-type": f"{BATCH};charset=UTF-8"}, "batch"),
        ({**JSON, "content-type": STRUCTURED}, "structured"),
        (JSON, "binary"),
        (HEADERS, "binary"),
        ({"ce-id": "1"}, "binary"),
        ({"content-type": "application/json"}, None),
        ({}, None),
        ({"ce-other": "1"}, None),
    ],
)
def test_modes(headers: dict[str, str], expected: str | None) -> None:
    """Told by the content type, else by the attributes in headers."""
    assert mode(headers) == expected


@pytest.mark.parametrize(
    "content_type",
    [
        "application/cloudevents",
        "application/cloudevents+avro",
        "application/cloudevents+xml",
        "application/cloudevents-batch",
        f"{STRUCTURED}; charset=utf-16",
    ],
)
def test_formats_that_we_do_not_read(content_type: str) -> None:
    """Are told apart from what is broken: 415, and not 400."""
    with pytest.raises(Unsupported):
        read({"content-type": content_type}, b"{}")


def test_no_cloud_event_at_all() -> None:
    """Is unsupported, too."""
    with pytest.raises(Unsupported, match="no CloudEvent"):
        read({"content-type": "application/json"}, b"{}")


@pytest.mark.parametrize("version", ["0.3", "2.0", "1"])
def test_other_versions(version: str) -> None:
    """Are unsupported in every mode."""
    with pytest.raises(Unsupported, match="another version than"):
        binary(ce_specversion=version)
    with pytest.raises(Unsupported, match="another version than"):
        structured(specversion=version)


def test_batches() -> None:
    """May be empty; one bad event spoils the batch, and is named by its place."""
    assert read({"content-type": BATCH}, b"[]") == []
    good = json.dumps(REQUIRED)
    with pytest.raises(Malformed, match="event 2 of 2: the CloudEvents attribute id is missing") as caught:
        read({"content-type": BATCH}, f'[{good}, {{"specversion": "1.0"}}]'.encode())
    assert caught.value.raw.startswith(b"[{")
    for body, expected in ((good, "a batch of CloudEvents is a list"), ("[1]", "a CloudEvent in JSON is an object")):
        with pytest.raises(Malformed, match=expected):
            read({"content-type": BATCH}, body.encode())


# --- attributes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(REQUIRED))
def test_required_attributes(name: str) -> None:
    """Missing, empty and null are the same, in both modes."""
    for value in (None, ""):
        said = f"attribute {name} is " + ("missing" if value is None else "not")
        with pytest.raises(Malformed, match=said):
            binary(**{f"ce_{name}": value})
        with pytest.raises(Malformed, match=said):
            structured(**{name: value})
    with pytest.raises(Malformed, match=f"attribute {name} is not"):
        structured(**{name: 1})


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("source", ["urn:uuid:6e8bc430", "mailto:a@b.c", "/a/b", "1-555-123-4567", "?x=1#y", "%C3%A4"],
         ["a b", "ä", "a\\b", "%zz", "<x>"]),
        ("subject", ["a", " ", "ä €"], [""]),
        ("time", ["2018-04-05T17:31:00Z", "2018-04-05t17:31:00.123456789+02:00", "1985-04-12T23:20:50.52Z",
                  "1990-12-31T23:59:60Z"],
         ["", "2018-04-05", "2018-04-05T17:31:00", "2018-02-30T00:00:00Z", "20180405T173100Z", "1523000000", "now",
          "2018-04-05T17:31Z"]),
        ("dataschema", ["https://a.example/b", "urn:x:y"], ["", "/relative", "a b"]),
        ("myext", ["", "any thing", "2018"], []),
    ],
)  # fmt: skip
def test_what_attributes_may_hold(name: str, good: list[str], bad: list[str]) -> None:
    """By the type that the specification gives them, in both modes."""
    for value in good:
        assert structured(**{name: value}).attributes[name] == value
        encoded = "".join(f"%{byte:02x}" for byte in value.encode())
        assert binary(**{f"ce_{name}": encoded}).attributes[name] == value
    for value in bad:
        with pytest.raises(Malformed, match=f"attribute {name} is not"):
            structured(**{name: value})


@pytest.mark.parametrize("value", [1.5, 2**31, -(2**31) - 1, [1], {"a": 1}])
def test_types_that_no_attribute_has(value: Any) -> None:
    """Numbers that are not whole or beyond 32 bits, lists, objects."""
    with pytest.raises(Malformed, match="attribute ext is not of a type"):
        structured(ext=value)


def test_types_that_attributes_have() -> None:
    """Booleans and whole numbers stay what they are; null is as if it were not there."""
    got = structured(yes=True, no=False, least=-(2**31), most=2**31 - 1, unset=None, data=None).attributes
    assert got == {**REQUIRED, "yes": True, "no": False, "least": -(2**31), "most": 2**31 - 1}


@pytest.mark.parametrize("char", ["\x00", "\x1f", "\x7f", "\x9f", "\ud800", "\ufdd0", "\uffff", "\U0001fffe"])
def test_characters_that_no_attribute_may_hold(char: str) -> None:
    """Controls, halves of pairs and what is no character."""
    with pytest.raises(Malformed, match="a character that no attribute may hold"):
        structured(ext=f"a{char}b")


@pytest.mark.parametrize("name", ["MyExt", "my_ext", "my-ext", "ä", "", "comExample"])
def test_names_that_no_attribute_may_have(name: str) -> None:
    """Lower-case letters and digits, and nothing else."""
    with pytest.raises(Malformed, match="whose name"):
        structured(**{name: "x"})


def test_names_in_headers() -> None:
    """A hyphen more is another name; `data` is none; the content type has a header of its own."""
    for headers, expected in (
        ({"ce_my_ext": "x"}, "whose name"),
        ({"ce_data": "x"}, "may not be named data"),
        ({"ce_datacontenttype": "text/plain"}, "told by Content-Type alone"),
    ):
        with pytest.raises(Malformed, match=expected):
            binary(**headers)
    assert binary(ce_datacontenttype="application/json").attributes["datacontenttype"] == "application/json"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
        ("%41%42c", "ABc"),
        ("%25%32%35", "%25"),
        ('"a b \\"c\\" %41"', 'a b "c" A'),
        (" padded ", "padded"),
        ("ä €", "ä €"),
    ],
)
def test_values_of_headers(value: str, expected: str) -> None:
    """Quotes are undone first, then escapes, once."""
    assert binary(ce_subject=value).attributes["subject"] == expected


@pytest.mark.parametrize("value", ["%C0%A0", "%ED%A0%80", "%FF", "100%", "%4", "%zz", '"open', "\udc80"])
def test_values_of_headers_that_are_none(value: str) -> None:
    """An overlong encoding, half a pair, no UTF-8, an escape that is none, half a quote."""
    with pytest.raises(Malformed):
        binary(ce_subject=value)


def test_a_content_type_that_is_made_to_cost_time() -> None:
    """Eight kilobytes of blanks and semicolons are refused at once."""
    with pytest.raises(Malformed, match="datacontenttype is not a media type"):
        binary(content_type="text/plain" + " ; " * 2700 + "x")


# --- data --------------------------------------------------------------------------------------------------------


def test_data_in_binary_mode() -> None:
    """JSON where the content type says so or says nothing, nothing where there is none."""
    assert binary(b'{"a": [1]}').data == {"a": [1]}
    assert binary(b"null") == CloudEvent({**REQUIRED, "datacontenttype": "application/json"}, None)
    assert binary(b'"x"', content_type=None) == CloudEvent(REQUIRED, "x")
    assert binary(b"", content_type=None) == CloudEvent(REQUIRED, empty=True)
    assert binary(b"\xff", content_type="text/plain; charset=latin1").binary
    for body, content_type, expected in (
        (b'{"a": 1, "a": 2}', "application/json", "one name twice"),
        (b'"\xff"', "application/json; charset=utf-8", "invalid UTF-8"),
        (b"\xff", "text/plain", "invalid UTF-8"),
        (b"{", None, "not JSON"),
        (b"{}", "nonsense", "not a media type"),
    ):
        with pytest.raises(Malformed, match=expected) as caught:
            binary(body, content_type=content_type)
        assert caught.value.raw == body


def test_data_in_structured_mode() -> None:
    """JSON, text, or base64 of what the content type says; a text is never read as JSON once more."""
    assert structured(data={"a": 1}).data == {"a": 1}
    assert structured(data='{"a": 1}').data == '{"a": 1}'
    assert structured(data="<x/>", datacontenttype="application/xml").data == "<x/>"
    assert structured(data_base64="eyJhIjogMX0=").data == {"a": 1}
    assert structured(data_base64="4oKs", datacontenttype="text/plain").data == "€"
    assert structured(data_base64="iVBORw==", datacontenttype="image/png") == CloudEvent(
        {**REQUIRED, "datacontenttype": "image/png"}, "iVBORw==", binary=True
    )
    assert structured().empty
    assert not structured(data=None).empty
    for more, expected in (
        ({"data": 1, "data_base64": "eyJhIjogMX0="}, "exclude each other"),
        ({"data_base64": "%%%"}, "not base64"),
        ({"data_base64": "ä"}, "not base64"),
        ({"data_base64": 1}, "not text"),
        ({"data": {"a": 1}, "datacontenttype": "text/plain"}, "expected text, or data_base64"),
    ):
        with pytest.raises(Malformed, match=expected):
            structured(**more)


@given(
    st.dictionaries(
        st.sampled_from(["content-type", *HEADERS, "ce-time", "ce-subject", "ce-x", "ce-"]),
        st.text(st.characters(exclude_categories=[])) | st.sampled_from([STRUCTURED, BATCH, *REQUIRED.values()]),
    ),
    st.binary() | st.recursive(st.text() | st.integers() | st.none(), lambda inner: st.lists(inner)
                               | st.dictionaries(st.sampled_from([*REQUIRED, "data", "data_base64", "time"]), inner))
    .map(json.dumps).map(str.encode),
)  # fmt: skip
def test_nothing_else_is_ever_raised(headers: dict[str, str], body: bytes) -> None:
    """Whatever comes: events, Malformed or Unsupported."""
    for more in ({}, {"content-type": STRUCTURED}, {"content-type": BATCH}):
        try:
            read({**headers, **more}, body)
        except (Malformed, Unsupported):
            continue


@pytest.mark.parametrize("mode", ["header", "body"])
def test_a_content_type_that_never_ends_takes_no_time(mode: str) -> None:
    """Blanks may stand where parameters do: however many there are, they are looked at once."""
    endless = "a/b" + " " * 40_000 + "x"
    begun = time.process_time()
    with pytest.raises(Malformed, match="datacontenttype"):
        binary(content_type=endless) if mode == "header" else structured(datacontenttype=endless)
    assert time.process_time() - begun < 4
