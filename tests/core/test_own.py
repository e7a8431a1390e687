"""The bridge's own events: what is published keeps to the schemas, and what would not is found."""

from __future__ import annotations

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from bridge.core.gap import Gap
from bridge.core.own import OWN, Own, announced
from bridge.core.record import Json
from tests.support.schemas import complaints


def wrong(id_: str, after: Json, **changes: Json) -> list[str]:
    data = {
        "id": "1", "change": OWN[id_].changes[0], "version": None, "after": after, "before": None, "changed": [],
        "raw": None, "omitted": [], **changes,
    }  # fmt: skip
    return complaints({"ce-dataschema": OWN[id_].uri}, data)


def test_these_are_ours() -> None:
    """Their names are a contract."""
    assert [(one.id, list(one.changes)) for one in OWN.values()] == [
        ("bridge-gap/1", ["opened", "closed"]),
        ("bridge-source/1", ["connected", "lost", "blocked", "recovered"]),
        ("bridge-quarantine/1", ["occurred"]),
        ("bridge-alert/1", ["occurred"]),
    ]
    assert announced("gap") == "bridge-gap/1"
    assert announced("probe") is None


@pytest.mark.parametrize("one", OWN.values(), ids=lambda one: one.id)
def test_the_schema_is_valid_and_takes_its_example(one: Own) -> None:
    """Draft 2020-12, by its own meta-schema."""
    Draft202012Validator.check_schema(one.schema())
    assert one.schema()["$id"] == f"urn:bridged:schema:bridge-{one.entity}:1"
    assert wrong(one.id, one.example) == []


@pytest.mark.parametrize("one", OWN.values(), ids=lambda one: one.id)
def test_every_field_is_meant(one: Own) -> None:
    """Without a field that must be there, or with one of another kind, it is found; without others it is not."""
    for name in one.example:
        left = {key: value for key, value in one.example.items() if key != name}
        assert bool(wrong(one.id, left)) == (name not in one.optional), name
        assert wrong(one.id, {**one.example, name: {"no": "such"}}), name
    assert wrong(one.id, None)
    assert wrong(one.id, one.example, change="renamed")
    assert wrong(one.id, {**one.example, "of_tomorrow": 1}) == []


def test_a_gap_is_one() -> None:
    """Open and closed."""
    assert wrong("bridge-gap/1", Gap("live", "why", 1_000).data()) == []
    assert wrong("bridge-gap/1", Gap("live", "why", 1_000, 2_000).data(), change="closed") == []


@pytest.mark.parametrize(
    ("id_", "more"),
    [
        ("bridge-source/1", {"half": "left"}),
        ("bridge-source/1", {"failing_since": "yesterday"}),
        ("bridge-source/1", {"walks": "all"}),
        ("bridge-source/1", {"held": [{"walk": "w"}]}),
        ("bridge-quarantine/1", {"bytes": -1}),
        ("bridge-quarantine/1", {"raw_base64": 7}),
        ("bridge-alert/1", {"severity": "loud"}),
        ("bridge-alert/1", {"events": [{"subject": "s", "ce_id": "c", "seq": 1}] * 21}),
    ],
)
def test_a_wrong_value_is_found(id_: str, more: dict[str, Json]) -> None:
    """The schemas are not empty talk."""
    assert wrong(id_, {**OWN[id_].example, **more})
