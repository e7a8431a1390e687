"""Stream and view on the server: what is made, what is compared, and what is refused in which words."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bridge.core.errors import Away
from bridge.core.record import Json
from bridge.edge.ledger.layout import (
    JetStreamOff,
    LayoutDiffers,
    LayoutMissing,
    LayoutRefused,
    LedgerNames,
    ServerTooOld,
    check_version,
    establish,
    state_config,
    state_differences,
    stream_config,
    stream_differences,
)
from bridge.edge.nats.jetstream import ApiError, JetStream
from tests.support.asking import plain_client
from tests.support.emptying import remove_streams
from tests.support.nats_server import NatsServer, nats_server, nats_server_blocking

pytestmark = pytest.mark.anyio

NAMES = LedgerNames()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with nats_server_blocking(tmp_path_factory.mktemp("layout")) as running:
        yield running


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[JetStream]:
    async with plain_client(url) as nc:
        yield JetStream(nc, deadline_s=30)


@pytest.fixture
async def js(server: NatsServer) -> AsyncIterator[JetStream]:
    async with connected(server.url) as js:
        await remove_streams(js, ("KV_bridge-state", "BRIDGE", "OTHER"), server.folder)
        yield js


async def configs(js: JetStream) -> tuple[Json, Json]:
    return (await js.stream("BRIDGE"))["config"], (await js.stream("KV_bridge-state"))["config"]


async def test_what_is_missing_is_made_and_verifies_clean(js: JetStream) -> None:
    """A first start makes stream and view, a second one finds nothing to say, and alters nothing."""
    first = await establish(js, NAMES)
    made = await configs(js)
    assert made[0]["subject_transform"] == {"src": "bridge.in.>", "dest": "events.>"}
    assert made[0]["republish"] == {"src": "events.>", "dest": "live.>"}
    assert made[1]["max_msgs_per_subject"] == 1
    assert len(made[1]["sources"]) == 1
    assert await establish(js, NAMES) == first
    assert await establish(js, LedgerNames(manage="verify")) == first
    assert await configs(js) == made


async def test_fields_of_other_server_versions_do_not_matter(js: JetStream) -> None:
    """Fields that a server adds, or leaves out because they have their default, make no difference."""
    await establish(js, NAMES)
    stream, view = await configs(js)
    for config in (stream, view):
        config["some_field_of_2_19"] = {"enabled": True}
        config["metadata"]["_nats.ver"] = "2.19.0"
        for absent in ("max_msgs", "max_bytes", "sealed", "mirror_direct", "consumer_limits", "compression"):
            config.pop(absent, None)
    stream["subjects"].reverse()
    view["sources"][0]["subject_transforms"].reverse()
    view["sources"][0]["opt_start_seq"] = 0
    assert stream_differences(NAMES, stream) == []
    assert state_differences(NAMES, view) == []


STREAM_CASES: list[tuple[str, Json]] = [
    ("subjects", ["bridge.in.>", "bridge.cursor.>"]),
    ("storage", "memory"),
    ("retention", "interest"),
    ("num_replicas", 3),
    ("max_age", 3_600_000_000_000),
    ("max_age", 0),
    ("max_bytes", 1_000_000),
    ("max_msgs", 1_000_000),
    ("max_msgs_per_subject", 1),
    ("allow_atomic", None),
    ("allow_msg_ttl", False),
    ("allow_rollup_hdrs", False),
    ("allow_direct", False),
    ("subject_transform", None),
    ("subject_transform", {"src": "bridge.in.>", "dest": "other.>"}),
    ("republish", None),
    ("republish", {"src": "events.>", "dest": "live.>", "headers_only": True}),
    ("sources", [{"name": "OTHER"}]),
    ("mirror", {"name": "OTHER"}),
    ("sealed", True),
]


@pytest.mark.parametrize(("field", "value"), STREAM_CASES)
async def test_every_field_of_the_stream_is_compared(field: str, value: Json) -> None:
    """One field that differs is one difference, which names it, both values, and what to do."""
    found = {**stream_config(NAMES), field: value}
    (difference,) = stream_differences(NAMES, found)
    assert (difference.stream, difference.field) == ("BRIDGE", field)
    assert difference.expected != difference.found
    assert difference.advice
    assert str(difference).startswith(f"BRIDGE: {field} is ")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("subjects", ["$KV.bridge-state.>"]),
        ("max_msgs_per_subject", 5),
        ("max_age", 1),
        ("max_bytes", 1),
        ("sources", []),
        ("sources", [{"name": "BRIDGE"}]),
        ("allow_direct", False),
    ],
)
async def test_every_field_of_the_view_is_compared(field: str, value: Json) -> None:
    """The same for the view: it has one source, four transforms, and no subjects to write to."""
    (difference,) = state_differences(NAMES, {**state_config(NAMES), field: value})
    assert (difference.stream, difference.field) == ("KV_bridge-state", field)


async def test_a_source_more_is_a_difference() -> None:
    """Four sources instead of one would race one another for an entity's order."""
    found = copy.deepcopy(state_config(NAMES))
    (source,) = found["sources"]
    found["sources"] = [{**source, "subject_transforms": [one]} for one in source["subject_transforms"]]
    assert [difference.field for difference in state_differences(NAMES, found)] == ["sources"]


async def test_a_byte_cap_that_refuses_is_accepted_and_one_that_evicts_is_not() -> None:
    """`discard: new` evicts nothing; a limit per subject evicts whatever `discard` says."""
    capped = {**stream_config(NAMES), "max_bytes": 1_000_000}
    assert [d.field for d in stream_differences(NAMES, capped)] == ["max_bytes"]
    assert "evicts cursors" in stream_differences(NAMES, capped)[0].advice
    assert stream_differences(NAMES, {**capped, "discard": "new"}) == []
    assert stream_differences(NAMES, {**capped, "discard": "new", "max_msgs_per_subject": 9})


async def test_a_stream_that_differs_is_reported_whole_and_left_alone(js: JetStream) -> None:
    """All differences of both streams come in one error, and nothing is altered."""
    await js.call("STREAM.CREATE.BRIDGE", {**stream_config(NAMES), "republish": None, "max_age": 10**12})
    await js.call("STREAM.CREATE.KV_bridge-state", {**state_config(NAMES), "max_bytes": 10**9})
    before = await configs(js)
    with pytest.raises(LayoutDiffers) as caught:
        await establish(js, NAMES)
    found = {(difference.stream, difference.field) for difference in caught.value.differences}
    assert found == {("BRIDGE", "republish"), ("BRIDGE", "max_age"), ("KV_bridge-state", "max_bytes")}
    assert "BRIDGE: max_age is 1000000000000, must be 7776000000000000" in str(caught.value)
    assert await configs(js) == before


async def test_verify_makes_nothing(js: JetStream) -> None:
    """With `manage = "verify"` a missing stream is an error that names it."""
    with pytest.raises(LayoutMissing, match="stream BRIDGE is missing"):
        await establish(js, LedgerNames(manage="verify"))
    with pytest.raises(ApiError):
        await js.stream("BRIDGE")


async def test_a_view_made_by_an_operator_is_accepted(js: JetStream) -> None:
    """Without the note which life of the stream it was made from, a view counts as good."""
    await js.call("STREAM.CREATE.BRIDGE", stream_config(NAMES))
    await js.call("STREAM.CREATE.KV_bridge-state", state_config(NAMES))
    await establish(js, LedgerNames(manage="verify"))


async def test_a_view_of_another_life_of_the_stream_is_made_anew(js: JetStream) -> None:
    """A stream that was removed and made again gets a new view; where nothing may be made, that is reported."""
    await establish(js, NAMES)
    old = await js.stream("KV_bridge-state")
    await js.call("STREAM.DELETE.BRIDGE")
    await js.call("STREAM.CREATE.BRIDGE", stream_config(NAMES))
    with pytest.raises(LayoutDiffers, match="made from a stream that is gone"):
        await establish(js, LedgerNames(manage="verify"))
    await establish(js, NAMES)
    new = await js.stream("KV_bridge-state")
    assert new["created"] > old["created"]
    assert (await establish(js, LedgerNames(manage="verify"))).last_seq == 0


async def test_a_stream_between_two_leaders_is_away_and_no_error(
    js: JetStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """JetStream that cannot read a stream which is there ("temporarily unavailable") means: later, not: wrong."""
    await establish(js, NAMES)
    ask = js.call

    async def call(subject: str, body: Json = None, *, walks: bool = False) -> Json:
        if subject.startswith("STREAM.MSG.GET."):
            raise ApiError(subject, 503, 10008, "JetStream system temporarily unavailable")
        return await ask(subject, body, walks=walks)

    monkeypatch.setattr(js, "call", call)
    with pytest.raises(Away, match="cannot be compared with its stream now"):
        await establish(js, NAMES)


async def test_a_subject_that_another_stream_takes_is_named(js: JetStream) -> None:
    """The server's refusal to make the stream comes with the reason."""
    await js.call("STREAM.CREATE.OTHER", {"name": "OTHER", "subjects": ["bridge.in.x"]})
    with pytest.raises(LayoutRefused, match=r"another stream takes one of its subjects: bridge\.in\.>"):
        await establish(js, NAMES)


async def test_all_names_can_be_chosen(js: JetStream) -> None:
    """Other names make other streams; the largest message comes from the stream where it has a limit."""
    names = LedgerNames(stream="OTHER", state_bucket="other-state", max_age_s=3600)
    await js.call("STREAM.CREATE.OTHER", {**stream_config(names), "max_msg_size": 5000})
    try:
        assert (await establish(js, names)).max_msg_size == 5000
        assert (await js.stream("KV_other-state"))["config"]["sources"][0]["name"] == "OTHER"
    finally:
        await js.call("STREAM.DELETE.KV_other-state")


@pytest.mark.parametrize("version", ["2.11.9", "2.2.0", "1.4.1", "", "unknown"])
async def test_an_old_server_is_refused(version: str) -> None:
    """A server without atomic batches gets a sentence that says which version is needed."""
    with pytest.raises(ServerTooOld, match=r"needs nats-server 2\.12 or newer"):
        check_version(version)


@pytest.mark.parametrize("version", ["2.12.0", "2.12.0-RC.1", "v2.15.1", "3.0.0", "2.100.0"])
async def test_a_new_server_is_accepted(version: str) -> None:
    """From 2.12 on every version will do."""
    check_version(version)


async def test_a_server_without_jetstream_is_refused(tmp_path: Path) -> None:
    """JetStream switched off in the server is told apart from JetStream that is away."""
    async with nats_server(tmp_path, jetstream=False) as plain, connected(plain.url) as js:
        with pytest.raises(JetStreamOff, match="runs without JetStream"):
            await establish(js, NAMES)


async def test_an_account_without_jetstream_is_refused(tmp_path: Path) -> None:
    """JetStream switched off for our account says so."""
    accounts = """
        accounts {
          WITH: { jetstream: enabled, users: [{user: a, password: a}] }
          WITHOUT: { users: [{user: b, password: b}] }
        }
    """
    async with nats_server(tmp_path, extra=accounts) as both:
        url = both.url.replace("nats://", "nats://b:b@")
        async with connected(url) as js:
            with pytest.raises(JetStreamOff, match="switched off for this account"):
                await establish(js, NAMES)
