"""What every adapter must do that takes webhooks, as named functions. `hook_cases.py` lists the adapters."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.adapter import Adapter, Json, Malformed, Record, Secret, Token
from bridge.cli.asyncapi import publisher
from bridge.core.asyncapi import document
from bridge.core.canonical import digest
from bridge.core.config import NatsSettings
from bridge.core.hooks.verification import Shown
from bridge.core.subject import event_subject
from bridge.engine.deliveries import frames
from tests.adapters.contract import EXAMPLES, drive, json_values, paths, replaced, respelled
from tests.adapters.hook_cases import HookCase
from tests.support.conformance import conforms, published
from tests.support.contract import Contract


def frames_of(case: HookCase) -> Iterator[tuple[Json, Sequence[Json]]]:
    """Each recorded delivery as it reaches the adapter, with what it is to make (of a batch: what is left of that)."""
    adapter = case.make()
    assert adapter.hook is not None
    for shown, makes in case.shown():
        left = list(makes)
        told = list(frames(adapter.hook, shown))
        for frame in told:
            assert not isinstance(frame, Malformed)
            yield frame, left if len(told) == 1 else [left.pop(0)]


def records(adapter: Adapter[Any], frame: Json) -> list[Record]:
    """What an adapter makes of a frame."""
    found = adapter.live(frame)
    assert all(isinstance(one, Record) for one in found)
    return [one for one in found if isinstance(one, Record)]


def a_delivery_makes_what_it_is_to_make(case: HookCase) -> None:
    """Entity, change, id, version and time, literally."""
    for frame, makes in frames_of(case):
        made = [
            [
                one.entity,
                "occurred" if one.occurred else "deleted" if one.gone else "changed",
                one.id,
                one.version,
                one.at_ms,
            ]
            for one in records(case.make(), frame)
        ]
        assert made == makes


def _change(one: Record) -> str:
    return "occurred" if one.occurred else "deleted" if one.gone else "changed"


def it_has_a_door_and_no_walks(case: HookCase) -> None:
    """Nothing is asked of anybody, and no lease is needed."""
    adapter = case.make()
    token = drive(adapter, [])
    assert isinstance(token, Token)
    assert adapter.hook is not None
    assert list(adapter.walks(token)) == []
    assert adapter.live_only is False
    assert adapter.listens is False


def mapping_changes_nothing(case: HookCase) -> None:
    """The same delivery makes the same each time, and is left as it was; what is of an entity has a version."""
    for frame, _ in frames_of(case):
        before = copy.deepcopy(frame)
        first, second = records(case.make(), frame), records(case.make(), frame)
        assert first == second
        assert [one.after for one in first] == [one.after for one in second]
        assert frame == before
        assert all(one.occurred or (one.version and one.unordered) for one in first)


def equal_content_has_equal_digests(case: HookCase) -> None:
    """Neither the order of keys nor the spelling of numbers makes a change, or another delivery."""
    for frame, _ in frames_of(case):
        other = {**frame, "body": respelled(frame["body"])}
        for one, two in zip(records(case.make(), frame), records(case.make(), other), strict=True):
            assert digest(one.after, "1") == digest(two.after, "1")
            assert (one.id, one.version, one.at_ms) == (two.id, two.version, two.at_ms)


def any_body_makes_records_or_malformed(case: HookCase) -> None:
    """Whatever a verified sender posts."""
    whole = [frame for frame, _ in frames_of(case)]

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(frame=st.sampled_from(whole), body=json_values())
    def holds(frame: Json, body: Json) -> None:
        readable(case, {**frame, "body": body})

    holds()


def a_damaged_delivery_makes_records_or_malformed(case: HookCase) -> None:
    """The same for recorded ones with any one value replaced by any other."""
    targets = [(frame, path) for frame, _ in frames_of(case) for path in paths(frame["body"])]

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(target=st.sampled_from(targets), value=json_values())
    def holds(target: tuple[Json, tuple[object, ...]], value: Json) -> None:
        frame, path = target
        readable(case, {**frame, "body": replaced(frame["body"], path, value)})

    holds()


def what_is_no_delivery_is_malformed(case: HookCase) -> None:
    """Any other frame."""

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(frame=json_values())
    def holds(frame: Json) -> None:
        readable(case, frame)

    holds()


def events_are_as_the_document_says(case: HookCase) -> None:
    """Each delivery becomes events that `bridged asyncapi` tells of, in both content modes."""
    adapter = case.make()
    for mode in ("binary", "structured"):
        settings = NatsSettings(content_mode="structured" if mode == "structured" else "binary")
        contract = Contract(document([publisher(adapter)], settings, version="0"))
        for frame, _ in frames_of(case):
            for record in records(adapter, frame):
                event = published(adapter, record, structured=mode == "structured")
                subject = event_subject(event.key, event.change, event.lane)
                assert contract.complaints(subject, event.headers, json.loads(event.payload)) == [], subject


def what_proves_the_sender_goes_no_further(case: HookCase) -> None:
    """Frames hold neither the headers that prove it nor anything like them."""
    hook = case.make().hook
    assert hook is not None
    shown, _ = case.shown()[0]
    proofs = dict.fromkeys(
        [*hook.credentials, "authorization", "cookie", "webhook-signature", "x-api-key"], "proof-0001"
    )
    told = frames(hook, Shown({**shown.headers, **proofs}, {"access_token": "proof-0001"}, shown.body, ["proof-0001"]))
    assert "proof-0001" not in json.dumps(list(told))


def nothing_shows_a_secret(case: HookCase) -> None:
    """Printing an adapter, its settings or its door shows where a secret comes from, never what it is."""
    adapter = case.make()
    assert adapter.budget_key == case.make().budget_key
    for thing in (adapter, adapter.settings, adapter.hook, vars(adapter), adapter.budget_key, drive(adapter, [])):
        for text in (repr(thing), str(thing)):
            assert not any(secret in text for secret in case.secrets)
    assert isinstance(drive(adapter, []).value, Secret)


HOOK_CONTRACT: Sequence[Callable[[HookCase], None]] = (
    a_delivery_makes_what_it_is_to_make,
    it_has_a_door_and_no_walks,
    mapping_changes_nothing,
    equal_content_has_equal_digests,
    any_body_makes_records_or_malformed,
    a_damaged_delivery_makes_records_or_malformed,
    what_is_no_delivery_is_malformed,
    events_are_as_the_document_says,
    what_proves_the_sender_goes_no_further,
    nothing_shows_a_secret,
)


def readable(case: HookCase, frame: Json) -> None:
    """Records that can be compared and stored, or Malformed."""
    adapter = case.make()
    try:
        found = records(adapter, frame)
    except Malformed:
        return
    for record in found:
        assert isinstance(record.id, str)
        assert record.id
        digest(record.after, "1")
        conforms(published(adapter, record))
