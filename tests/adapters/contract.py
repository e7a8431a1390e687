"""What every adapter must do, as named functions. `cases.py` lists the adapters, `test_contract.py` runs them all.

A function here takes one `Case` and proves the sentence in its docstring.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.adapter import Adapter, Ask, Page, Record, Request, Response, Secret, Token, Window
from bridge.cli.asyncapi import publisher
from bridge.core.asyncapi import document
from bridge.core.canonical import digest
from bridge.core.config import NatsSettings
from bridge.core.errors import BridgeError, Malformed, Refused, Retry
from bridge.core.omit import omit, parse
from bridge.core.record import Json
from bridge.core.shapes import SHAPES
from bridge.core.subject import event_subject
from tests.support.answers import answer, raw_answer
from tests.support.conformance import conforms, published
from tests.support.contract import Contract
from tests.support.thorough import tries


@dataclass(frozen=True)
class Case:
    """One adapter with what its vendor says. `make` builds it anew, with the same settings every time.

    `login`: the answers of a login that works, in order. `ask`: a first page's, `later`: one from a position.
    `pages`: recorded answers to `ask`. `fields`: where answers hold their payload (GraphQL field names), to build
    wrong ones. `secrets`: their plain values. `personal`: texts in the rows that the default `omit` must remove.
    """

    name: str
    make: Callable[[], Adapter[Any]]
    login: Sequence[Response]
    ask: Ask
    later: Ask
    pages: Sequence[Response]
    fields: Sequence[str]
    secrets: Sequence[str]
    personal: Sequence[str]

    def token(self) -> Token:
        """What the working login yields."""
        return drive(self.make(), self.login)

    def rows(self) -> list[Json]:
        """Every recorded row."""
        adapter = self.make()
        return [row for response in self.pages for row in adapter.page(self.ask, response).rows]


def drive(adapter: Adapter[Any], answers: Sequence[Response]) -> Token:
    """Run a login flow over prepared answers."""
    flow, waiting = adapter.login(), list(answers)
    try:
        request = next(flow)
        while True:
            assert isinstance(request, Request)
            assert waiting, "the login asks for more than its vendor answered"
            request = flow.send(waiting.pop(0))
    except StopIteration as end:
        token = end.value
        assert isinstance(token, Token)
        return token


BODIES: Sequence[bytes] = (
    b"", b"   ", b"<!DOCTYPE html><html><body>Maintenance</body></html>", b'{"data": {"', b"[]", b"null", b"{}", b"0",
    b'"text"', b'{"data": null}', b'{"data": {}}', b'{"data": []}', b'{"errors": []}', b'{"errors": "no"}', b"[" * 5000,
    b'{"errors": [null]}', b'{"errors": [{}]}', b'{"errors": [{"message": null, "extensions": {"code": 7}}]}',
    b'{"errors": [{"message": "Unauthorized"}]}', b'{"data": null, "errors": [{"message": "boom"}]}', b"\xff\xfe{",
)  # fmt: skip
VALUES: Sequence[Json] = (
    None, True, 7, "text", [], [None], {}, {"error": None}, {"error": 5}, {"error": "NeverHeardOf"}, {"nodes": None},
    {"nodes": 5}, {"nodes": [None, 1, "x", {}]}, {"nodes": [{"cursor": 5, "value": {}}], "totalCount": 9},
    {"token": None}, {"token": 5, "customerUuid": []}, {"error": "ErrorIDs.", "comment_for_dev": {}},
)  # fmt: skip
STATUSES = (200, 204, 302, 400, 401, 403, 404, 408, 418, 429, 500, 503)
HEADERS: Sequence[dict[str, str]] = (
    {},
    {"retry-after": "7"},
    {"retry-after": ""},
    {"retry-after": "soon", "date": "x"},
)


def wrong_answers(case: Case) -> Iterator[Response]:
    """A vendor on a bad day: every kind of body under every kind of status, some of them with every kind of header."""
    for status in STATUSES:
        for headers in HEADERS:
            for body in BODIES[:: 1 if not headers else 7]:
                yield raw_answer(body, status, headers)
            for value in VALUES[:: 1 if not headers else 6]:
                yield answer({"data": dict.fromkeys(case.fields, value)}, status, headers)


EXAMPLES = tries(10, 40)
"""For each of a dozen adapters and kinds of record: together some hundred, in a thorough run several."""


def json_values() -> st.SearchStrategy[Json]:
    """Any JSON value a decoder can yield."""
    leaf = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
    return st.recursive(leaf, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4))


def the_budget_key_is_stable_and_tells_no_secret(case: Case) -> None:
    """Two adapters with the same credentials share one budget, and its name says nothing about them."""
    key = case.make().budget_key
    assert key == case.make().budget_key
    assert not any(secret in key for secret in case.secrets)
    assert case.make().limit.requests >= 1


def a_login_that_works_yields_a_token(case: Case) -> None:
    """The recorded answers end in a token whose value is a secret, the same each time."""
    token = case.token()
    assert isinstance(token.value, Secret)
    assert token.value
    assert token == case.token()
    assert case.make().token_margin_s(token) >= 0


def a_login_that_fails_says_what_happens_next(case: Case) -> None:
    """Whatever the vendor answers, a login ends with a token, Retry (or Throttled) or Refused, and tells no secret."""
    for wrong in wrong_answers(case):
        for good in range(len(case.login)):
            try:
                drive(case.make(), [*case.login[:good], wrong, *case.login[good + 1 :]])
            except (Retry, Refused) as error:
                tells_no_secret(case, error)


def walks_are_named_once_and_the_same_each_time(case: Case) -> None:
    """The names key the cursors: unique, stable; faster walks come first."""
    token = case.token()
    walks = case.make().walks(token)
    assert walks
    assert walks == case.make().walks(token)
    assert len({walk.name for walk in walks}) == len(walks)
    assert [walk.every_s for walk in walks] == sorted(walk.every_s for walk in walks)
    assert all(walk.page_size >= 1 and walk.entity and walk.every_s > 0 for walk in walks)


def requests_are_pure_and_hold_secrets_only_as_secrets(case: Case) -> None:
    """The same question makes the same request; no secret stands in it as plain text."""
    token = case.token()
    for ask in (case.ask, case.later):
        request = case.make().request(ask, token)
        assert request == case.make().request(ask, token)
        shown = repr(request)
        assert not any(secret in shown for secret in [*case.secrets, token.value.bare()])


def a_later_page_differs_in_its_position_only(case: Case) -> None:
    """What a pass reads must not change under way: window, filters and order stay as they were."""
    token = case.token()
    first, later = (case.make().request(ask, token) for ask in (case.ask, case.later))
    assert first != later
    assert first.headers == later.headers
    assert first.method == later.method


def a_wrong_page_says_what_happens_next(case: Case) -> None:
    """Whatever the vendor answers, reading a page yields a page or an error of the house, and tells no secret."""
    for wrong in wrong_answers(case):
        for ask in (case.ask, case.later):
            try:
                page = case.make().page(ask, wrong)
            except BridgeError as error:
                tells_no_secret(case, error)
            else:
                assert isinstance(page, Page)


def any_json_makes_a_page_or_an_error_of_the_house(case: Case) -> None:
    """The same for JSON nobody thought of."""

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(value=json_values(), deep=st.booleans())
    def holds(value: Json, deep: bool) -> None:
        body = {"data": dict.fromkeys(case.fields, value)} if deep else value
        for ask in (case.ask, case.later):
            try:
                case.make().page(ask, answer(body))
            except BridgeError as error:
                tells_no_secret(case, error)

    holds()


def any_json_is_a_record_or_malformed(case: Case) -> None:
    """A row that cannot be read is Malformed and nothing else, so that it can be set aside and the page goes on."""

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(row=json_values())
    def holds(row: Json) -> None:
        readable(case, row)

    holds()


def a_damaged_record_is_a_record_or_malformed(case: Case) -> None:
    """The same for recorded rows with any one value replaced by any other."""
    targets = [(row, path) for row in case.rows() for path in paths(row)]

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(target=st.sampled_from(targets), value=json_values())
    def holds(target: tuple[Json, tuple[Any, ...]], value: Json) -> None:
        row, path = target
        readable(case, replaced(row, path, value))

    holds()


def reading_a_record_changes_nothing(case: Case) -> None:
    """The same row gives the same record each time and is left as it was."""
    rows = case.rows()
    assert rows
    for row in rows:
        before = copy.deepcopy(row)
        first, second = case.make().record(case.ask, row), case.make().record(case.ask, row)
        assert first == second
        assert row == before
        assert first.id


def what_a_record_goes_by_is_told_whole(case: Case) -> None:
    """On the same basis the same row is the same record, whichever walk, window or page it comes from."""
    adapter, ask = case.make(), case.ask
    basis = adapter.basis(ask)
    if basis is None:
        return
    others = [
        case.later,
        replace(ask, window=Window(0, 1)),
        replace(ask, ids=["1"]),
        *(replace(ask, position={"part": part, "at": 3}) for part in (0, 1)),
        replace(ask, walk=replace(ask.walk, name="another", page_size=7, overlap_s=5.0, reach_s=9.0)),
    ]
    assert sum(adapter.basis(other) == basis for other in others) >= 3
    for row in case.rows():
        for damaged in (row, *({**row, name: None} for name in row)):
            outcomes = {_outcome(adapter, other, damaged) for other in others if adapter.basis(other) == basis}
            assert outcomes == {_outcome(adapter, ask, damaged)}


def _outcome(adapter: Adapter[Any], ask: Ask, row: Json) -> str:
    try:
        found = adapter.record(ask, row)
    except Malformed as error:
        return str(error)
    return repr((found, found.after))


def equal_content_has_equal_digests(case: Case) -> None:
    """Neither the order of keys nor the spelling of numbers makes a change."""
    adapter = case.make()
    for row in case.rows():
        plain = adapter.record(case.ask, row)
        other = adapter.record(case.ask, respelled(row))
        assert digest(plain.after, "1") == digest(other.after, "1")
        assert (plain.id, plain.version, plain.at_ms) == (other.id, other.version, other.at_ms)


def personal_data_is_left_out_by_default(case: Case) -> None:
    """The adapter's own `omit` names real paths: what it is there for is gone from the normalised record."""
    adapter = case.make()
    steps = [parse(path) for path in adapter.omit]
    records = [adapter.record(case.ask, row).after for row in case.rows()]
    whole, cut = json.dumps(records), json.dumps([omit(record, steps) for record in records])
    for text in case.personal:
        assert text in whole
        assert text not in cut


def events_keep_to_the_shape_they_announce(case: Case) -> None:
    """Each recorded row becomes an event whose data its `ce-dataschema` describes, with everything and by default."""
    adapter = case.make()
    for row in case.rows():
        record = adapter.record(case.ask, row)
        for omits in (list[str](), None):
            shape = conforms(published(adapter, record, omits=omits))
            assert (shape and shape.id) == adapter.schema(record.entity)


def events_are_as_the_document_says(case: Case) -> None:
    """Each recorded row becomes an event that `bridged asyncapi` tells of, in both content modes."""
    adapter = case.make()
    for mode in ("binary", "structured"):
        settings = NatsSettings(content_mode="structured" if mode == "structured" else "binary")
        contract = Contract(document([publisher(adapter)], settings, version="0"))
        for row in case.rows():
            event = published(adapter, adapter.record(case.ask, row), structured=mode == "structured")
            subject = event_subject(event.key, event.change, event.lane)
            assert contract.complaints(subject, event.headers, json.loads(event.payload)) == [], subject


def what_a_shape_calls_private_is_left_out_by_default(case: Case) -> None:
    """The adapter's own `omit` knows every path that the shapes of its entities call private."""
    adapter = case.make()
    steps = [parse(path) for path in adapter.omit]
    for record in (adapter.record(case.ask, row) for row in case.rows()):
        announced = adapter.schema(record.entity)
        for path in SHAPES[announced].paths("private") if announced else ():
            kept = omit(record.after, steps)
            assert kept == omit(kept, [parse(path)]), f"{record.entity}: {path} is published by default"


def nothing_shows_a_secret(case: Case) -> None:
    """Printing an adapter, its settings or its token shows where a secret comes from, never what it is."""
    adapter, token = case.make(), case.token()
    for thing in (adapter, adapter.settings, token, vars(adapter)):
        for text in (repr(thing), str(thing)):
            assert not any(secret in text for secret in [*case.secrets, token.value.bare()])


CONTRACT: Sequence[Callable[[Case], None]] = (
    the_budget_key_is_stable_and_tells_no_secret,
    a_login_that_works_yields_a_token,
    a_login_that_fails_says_what_happens_next,
    walks_are_named_once_and_the_same_each_time,
    requests_are_pure_and_hold_secrets_only_as_secrets,
    a_later_page_differs_in_its_position_only,
    a_wrong_page_says_what_happens_next,
    any_json_makes_a_page_or_an_error_of_the_house,
    any_json_is_a_record_or_malformed,
    a_damaged_record_is_a_record_or_malformed,
    reading_a_record_changes_nothing,
    what_a_record_goes_by_is_told_whole,
    equal_content_has_equal_digests,
    personal_data_is_left_out_by_default,
    events_keep_to_the_shape_they_announce,
    events_are_as_the_document_says,
    what_a_shape_calls_private_is_left_out_by_default,
    nothing_shows_a_secret,
)


def readable(case: Case, row: Json) -> None:
    """`row` is a record that can be compared and stored, in the shape that it announces, or Malformed."""
    adapter = case.make()
    try:
        record = adapter.record(case.ask, row)
    except Malformed:
        return
    assert isinstance(record, Record)
    assert isinstance(record.id, str)
    assert record.id
    digest(record.after, "1")
    conforms(published(adapter, record))


def tells_no_secret(case: Case, error: BaseException) -> None:
    """Neither the error nor what caused it shows a secret."""
    seen: BaseException | None = error
    while seen is not None:
        assert not any(secret in f"{seen} {seen!r} {vars(seen)}" for secret in case.secrets)
        seen = seen.__cause__ or seen.__context__


def paths(value: Json) -> Iterator[tuple[Any, ...]]:
    """Every place inside a JSON value, the whole first."""
    yield ()
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, item in inner:
        for path in paths(item):
            yield (step, *path)


def replaced(value: Json, path: tuple[Any, ...], new: Json) -> Json:
    """A copy with one place changed."""
    if not path:
        return new
    value = copy.copy(value)
    value[path[0]] = replaced(value[path[0]], path[1:], new)
    return value


def respelled(value: Json) -> Json:
    """The same content, spelled differently: keys backwards, whole numbers as floats."""
    if isinstance(value, dict):
        return {key: respelled(value[key]) for key in reversed(value)}
    if isinstance(value, list):
        return [respelled(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value
