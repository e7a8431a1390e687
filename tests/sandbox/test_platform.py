"""The played platform's REST side is what the vendor's pages say, and as unhelpful as they let one fear."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookies import SimpleCookie
from typing import Any

import aiohttp
import pytest

from bridge.sandbox.platform import Options
from bridge.sandbox.platform_world import DAY
from tests.sandbox.conftest import NOW_MS, HandClock
from tests.sandbox.platform_client import PlatformClient, playing

pytestmark = pytest.mark.anyio

UNAUTHORIZED = {"success": False, "code": "401", "message": "Unauthorized", "tags": ["error_unauthorized"]}
FORBIDDEN = {
    "success": False,
    "code": "403",
    "message": "Forbidden",
    "tags": ["error_credentials", "error_forbidden"],
}
NOT_FOUND = {"success": False, "code": "404", "message": "Not Found", "tags": ["error_not_found"]}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def names(rows: list[dict[str, Any]], key: str = "_id") -> list[str]:
    return [row[key] for row in rows]


async def test_a_token_is_answered_misspelt_and_opens_the_api_until_it_expires(clock: HandClock) -> None:
    """`sucess`, times in milliseconds, and 401 from the moment of `expiresAt` on."""
    async with playing(clock=clock, token_s=5) as client:
        status, body, _ = await client.login()
        token = body.pop("token")
        assert (status, body) == (
            200,
            {"sucess": True, "type": "access", "issuedAt": NOW_MS, "expiresAt": NOW_MS + 5000},
        )
        bearer = {"Authorization": f"Bearer {token}"}
        clock.advance(4.999)
        assert (await client.ask("objects", headers=bearer))[0] == 200
        clock.advance(0.001)
        assert await client.ask("objects", headers=bearer) == (401, UNAUTHORIZED)
        counters = client.sandbox.counters()
        assert (counters["logins"], counters["unauthorized"], counters["expired_credentials"]) == (1, 1, 1)


async def test_a_cookie_is_set_as_the_page_shows_it() -> None:
    """`sid` with path, expiry and HttpOnly, a `Date` to count it from; and it opens the API as a token does."""
    async with playing(token_s=3600) as client:
        status, body, response = await client.login("auth")
        assert (status, body) == (200, {"sucess": True})
        header = response.headers["Set-Cookie"]
        sid = SimpleCookie(header)["sid"]
        assert (sid["path"], sid["httponly"]) == ("/", True)
        life = parsedate_to_datetime(sid["expires"]) - parsedate_to_datetime(response.headers["Date"])
        assert 3590 < life.total_seconds() <= 3602
        assert (await client.ask("models", headers={"Cookie": f"sid={sid.value}"}))[0] == 200
        # A cookie is no token, and a token no cookie.
        assert (await client.ask("models", headers={"Authorization": f"Bearer {sid.value}"}))[0] == 401
        issued = client.sandbox.issued_token
        assert (await client.ask("models", headers={"Cookie": f"sid={issued}"}))[0] == 401

        client.sandbox.alter({"token_s": None})
        _, _, response = await client.login("auth")
        assert "Expires" not in response.headers["Set-Cookie"]


async def test_a_wrong_password_opens_nothing() -> None:
    """It is refused for good; what is no JSON is a bad request; nobody comes in without credentials."""
    async with playing() as client:
        status, body, _ = await client.login(password="guess")
        assert (status, body) == (403, FORBIDDEN)
        async with client.http.post(f"{client.sandbox.url}/api/v1/auth", data=b"{") as response:
            assert response.status == 400
        assert await client.ask("objects", headers={}) == (401, UNAUTHORIZED)


async def test_logins_live_side_by_side_unless_alone() -> None:
    """Two instances do not log each other out; with `alone` they do. Revoked tokens are refused at once."""
    async with playing() as client:
        first, second = [(await client.login())[1]["token"] for _ in range(2)]
        bearer = {"Authorization": f"Bearer {first}"}
        assert (await client.ask("objects", headers=bearer))[0] == 200
        client.sandbox.alter({"alone": True})
        third = (await client.login())[1]["token"]
        assert (await client.ask("objects", headers=bearer))[0] == 401
        assert (await client.ask("objects", headers={"Authorization": f"Bearer {second}"}))[0] == 401
        assert (await client.ask("objects", headers={"Authorization": f"Bearer {third}"}))[0] == 200
        client.sandbox.revoke_tokens()
        assert (await client.ask("objects"))[0] == 401


async def test_errors_have_the_bodies_of_the_vendors_table() -> None:
    """404 for what there is not, 403 for what is not allowed: stores that are forbidden, and every write."""
    async with playing(forbidden="users,roles") as client:
        assert await client.ask("unicorns") == (404, NOT_FOUND)
        assert await client.ask(f"objects/{'0' * 24}") == (404, NOT_FOUND)
        assert await client.ask("users") == (403, FORBIDDEN)
        assert await client.ask("objects", method="POST") == (403, FORBIDDEN)
        counters = client.sandbox.counters()
        assert (counters["forbidden"], counters["writes"], counters["not_found"]) == (1, 1, 2)


async def test_a_single_row_says_success_and_objects_have_their_state() -> None:
    """`success` is in single reads only; `state` is the latest packet, and moves without any change in the ledger."""
    async with playing() as client:
        world = client.sandbox.world
        oid = next(iter(world.objects))
        assert "state" not in await client.read(f"objects/{oid}")
        packet = world.packet(oid, {"temperature": 4.5})
        before = len(world.ledger)
        row = await client.read(f"objects/{oid}")
        assert (row["success"], row["state"]["_ts"], row["state"]["temperature"]) == (True, packet["data"]["_ts"], 4.5)
        assert "success" not in (await client.read("objects"))[0]
        assert len(world.ledger) == before
        assert world.ledger.changes[world.version[oid] - 1].served_ms is not None


async def test_lists_are_capped_and_in_no_order() -> None:
    """Never more rows than the cap; pages add up while the store rests, and their order is not that of creation."""
    async with playing(objects=30, cap=10) as client:
        world = client.sandbox.world
        assert len(await client.read("objects", limit=10000)) == 10
        pages = [await client.read("objects", limit=7, offset=offset) for offset in range(0, 35, 7)]
        found = [row for page in pages for row in page]
        assert [len(page) for page in pages] == [7, 7, 7, 7, 2]
        assert sorted(names(found)) == sorted(world.objects)
        times = [row["time"] for row in found]
        assert times != sorted(times)
        assert times != sorted(times, reverse=True)
        assert (await client.ask("objects", limit=0))[0] == 400
        assert (await client.ask("objects", limit=10001))[0] == 400


async def test_rows_move_between_pages_once_the_store_was_written_to() -> None:
    """Who pages by offset while somebody edits a row misses rows; with `shuffled` even without."""
    async with playing(objects=40) as client:
        before = names(await client.read("objects", limit=20))
        assert names(await client.read("objects", limit=20)) == before
        client.sandbox.make_change(1, "object-update")
        after = names(await client.read("objects", limit=20, offset=20))
        assert len(set(before) | set(after)) < 40
        client.sandbox.alter({"order": "shuffled"})
        assert names(await client.read("objects")) != names(await client.read("objects"))


async def test_bounds_select_by_creation() -> None:
    """`from` and `to`, or `begin` and `end`, in milliseconds or ISO 8601; an edit moves no row between them."""
    async with playing(objects=0) as client:
        world = client.sandbox.world
        start = round(datetime(2024, 2, 29, 12, 30, tzinfo=UTC).timestamp() * 1000)
        made = [world.insert("objects", start + n * 60_000).id for n in range(4)]
        world.write("objects", {**world.objects[made[0]], "name": "edited"})
        second, third = start + 60_000, start + 120_000
        assert set(names(await client.read("objects", **{"from": second, "to": third}))) == set(made[1:3])
        iso = {"begin": "2024-02-29T12:31", "end": "2024-02-29T12:32"}
        assert set(names(await client.read("objects", **iso))) == set(made[1:3])
        assert set(names(await client.read("objects", to=second))) == set(made[:2])
        for bounds, expected in (("[)", made[1:2]), ("(]", made[2:3]), ("()", [])):
            client.sandbox.alter({"bounds": bounds})
            assert names(await client.read("objects", **{"from": second, "to": third})) == expected
        assert (await client.ask("objects", to="tomorrow"))[0] == 400


async def test_fields_filters_and_meta() -> None:
    """`only` keeps `_id`; `where` reaches into fields; `meta` counts instead of listing."""
    async with playing(objects=6) as client:
        rows = await client.read("objects", only="name")
        assert {frozenset(row) for row in rows} == {frozenset({"_id", "name"})}
        wanted = await client.read("objects", **{"where.config.interval": "10,60"})
        assert {row["config"]["interval"] for row in wanted} <= {10, 60}
        meta = await client.read("objects", meta="true")
        assert (meta["total"], meta["first"]["time"] < meta["last"]["time"]) == (6, True)


async def test_the_journal_holds_all_but_packets(clock: HandClock) -> None:
    """Both bounds are needed; types can be picked or left out; it may lag behind."""
    async with playing(clock=clock, history=0, objects=2) as client:
        world = client.sandbox.world
        oid = next(iter(world.objects))
        clock.advance(1)
        world.packet(oid)
        door = world.occur("door-opened", {"level": 3}, oid)
        online = world.occur("object-online", {"online": True}, oid)
        update = world.change("object-update")
        window = {"from": NOW_MS + 1, "to": NOW_MS + 1000}
        assert (await client.ask("events", to=5))[0] == 400
        rows = await client.read("events", **window)
        assert {row["event"] for row in rows} == {"door-opened", "object-online", "object-update"}
        assert door.record in rows
        assert [row["data"]["_id"] for row in rows if row["event"] == "object-update"] == [update.id]
        assert names(await client.read("events", events="object-online,x", **window), "_msgid") == [online.id]
        kept = await client.read("events", not_="door-opened,object-update", **window)
        assert names(kept, "_msgid") == [online.id]
        assert len(await client.read(f"objects/{oid}/events", **window)) >= 2
        assert "door-opened" in (await client.read("events/org"))["unique"]
        assert world.occurrences.changes[door.seq - 1].served_ms == clock.now_ms

        client.sandbox.alter({"journal_lag_s": 2})
        assert await client.read("events", **window) == []
        clock.advance(2)
        assert len(await client.read("events", **window)) == 3


async def test_packets_of_an_object_lie_in_its_history(clock: HandClock) -> None:
    """Microseconds of their own each, capped, a month at most in one call, in milliseconds from and to."""
    async with playing(clock=clock, objects=1, cap=5) as client:
        world = client.sandbox.world
        (oid,) = world.objects
        told: list[Any] = []
        world.listeners.append(told.append)
        world.changes(3, "packet")
        clock.advance(0.001)
        world.packet(oid, {"lat": 52.5})
        path = f"objects/{oid}/packets"
        rows = await client.read(path, **{"from": NOW_MS, "to": NOW_MS + 1})
        rows.sort(key=lambda row: row["_ts"])
        assert [row["_ts"] for row in rows] == [NOW_MS * 1000 + each for each in (0, 1, 2, 1000)]
        assert (rows[-1]["lat"], rows[-1]["time"] <= NOW_MS + 1, rows[-1]["online"]) == (52.5, True, True)
        assert [{**row, "_id": 0} for row in rows] == [{**event["data"], "_id": 0} for event in told]
        assert len(set(names(rows))) == 4
        assert len(await client.read(path, **{"from": NOW_MS, "to": NOW_MS})) == 3
        world.changes(9, "packet")
        assert len(await client.read(path, **{"from": NOW_MS, "to": NOW_MS + 1})) == 5
        assert (await client.ask(path, begin=NOW_MS - 32 * DAY, end=NOW_MS))[0] == 400
        assert (await client.ask(path))[0] == 400


@pytest.mark.parametrize(("kind", "status"), [("http_401", 401), ("http_403", 403), ("http_502", 502), ("html", 200)])
async def test_faults_strike_what_they_are_planned_for(kind: str, status: int) -> None:
    """A storm of refusals, a proxy's page: the answer is spoilt so many times, then it is right again."""
    async with playing() as client:
        client.sandbox.faults.plan(kind, times=2, on="page")
        assert (await client.ask("objects/x"))[0] == 404
        for _ in range(2):
            got, body = await client.ask("objects")
            assert got == status
            assert body == {401: UNAUTHORIZED, 403: FORBIDDEN}.get(status, body)
        assert isinstance(await client.read("objects"), list)


async def test_rows_can_come_twice_or_unreadable() -> None:
    """What was spoilt counts as told to nobody."""
    async with playing(objects=3) as client:
        client.sandbox.faults.plan("doubled", on="page")
        assert len(await client.read("objects")) == 4
        client.sandbox.faults.plan("unreadable", on="page", shape="null_id")
        assert None in names(await client.read("objects"))
        client.sandbox.faults.plan("truncated", on="page")
        with pytest.raises(ValueError, match=r"JSON|delimiter|Expecting|Unterminated"):
            await client.read("objects")
        assert [change for change in client.sandbox.ledger.changes if change.served_ms] == []
        client.sandbox.faults.plan("revoked", on="page")
        assert (await client.ask("objects"))[0] == 401


async def test_garbage_logins() -> None:
    """A login may yield what is no token, or no cookie."""
    async with playing() as client:
        client.sandbox.faults.plan("garbage_token", times=2)
        _, body, _ = await client.login()
        assert body["token"] == {"no": "text"}
        _, _, response = await client.login("auth")
        assert SimpleCookie(response.headers["Set-Cookie"])["sid"].value == ""


async def control(client: PlatformClient, method: str, what: str, body: Any = None) -> Any:
    url = client.sandbox.describe()["control"] + what
    timeout = aiohttp.ClientTimeout(total=30)
    async with client.http.request(method, url, json=body, timeout=timeout) as response:
        return response.status, await response.json()


async def test_the_control_interface_tells_what_was_issued() -> None:
    """Occurred events as ledger entries, packets by object and `_ts`; tokens can be revoked through it."""
    async with playing(history=0, objects=1) as client:
        await control(client, "POST", "change", {"n": 3, "kind": "packet"})
        await control(client, "POST", "change", {"n": 2, "kind": "custom"})
        status, issued = await control(client, "GET", "issued")
        (packets,) = issued["packets"].values()
        assert (status, len(issued["occurred"]), len(packets), issued["last"]) == (200, 2, 3, 2)
        assert {int(ts) for ts in packets} == {data["_ts"] for data in packets.values()}
        assert (await control(client, "GET", "issued?since=1"))[1]["occurred"] == issued["occurred"][1:]
        assert (await control(client, "POST", "revoke"))[0] == 200
        assert (await client.ask("objects"))[0] == 401
        assert (await control(client, "POST", "change", {"kind": "earthquake"}))[0] == 400


@pytest.mark.parametrize(
    "wrong",
    [
        {"bounds": "[["},
        {"order": "sorted"},
        {"store_pushes": "half"},
        {"recording": "song"},
        {"cap": 0},
        {"packet_share": 2.0},
        {"token_s": 0.0},
        {"journal_lag_s": -1.0},
    ],
)
def test_options_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    """An option with a slip of the pen is an error."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Options(**wrong)


async def test_sockets_take_what_is_documented_for_them() -> None:
    """The stream a token and no cookie; Socket.IO a cookie, and a token unless told otherwise."""
    async with playing() as client:
        _, _, response = await client.login("auth")
        cookie = {"Cookie": response.headers["Set-Cookie"].partition(";")[0]}

        async def enters(path: str, headers: dict[str, str]) -> bool:
            try:
                async with client.http.ws_connect(client.sandbox.ws_url + path, headers=headers):
                    return True
            except aiohttp.WSServerHandshakeError:
                return False

        io = "/socket.io/?EIO=3&transport=websocket"
        assert [
            await enters(path, headers) for path in ("/events/stream", io) for headers in (client.headers, cookie)
        ] == [
            True,
            False,
            True,
            True,
        ]
        client.sandbox.alter({"socketio_bearer": False})
        assert [await enters(io, headers) for headers in (client.headers, cookie, client.headers | cookie)] == [
            False,
            True,
            True,
        ]
