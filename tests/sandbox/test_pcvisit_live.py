"""pcvisit's live sessions, by plain WebSocket clients: both sub-protocols, credentials, expiry, the subscriptions."""

from __future__ import annotations

from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from tests.sandbox.client import Client
from tests.sandbox.conftest import Play
from tests.sandbox.sockets import STOP, Wire, wire
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio
DOCUMENT = """subscription ($company: CustomerUuid!) {
  assumedSessionChanged(company: $company) {
    __typename
    ... on SessionProtocol {
      id name sessionCreatedAt sessionFinishedAt sessionCompanyUuid state type duration customDuration invoiceState
      participants { supporterIdentity { id } supporterContact { email } isSessionCreator }
      target { computerId computerDisplayName }
      clientCompany { clientId clientName }
    }
    ... on Failure { error comment_for_dev comment_for_user }
  }
}"""
PROTOCOLS = ["graphql-ws", "graphql-transport-ws"]
both = pytest.mark.parametrize("protocol", PROTOCOLS)


def credentials(client: Client) -> dict[str, str]:
    return {"authToken": f"Bearer {client.jwt}"}


async def listening(client: Client, link: Wire, document: str = DOCUMENT) -> None:
    """A session that is subscribed to the first company, and known to be."""
    await link.init(credentials(client))
    await link.subscribe(document, company=client.sandbox.companies[0])
    await wait_until(lambda: client.sandbox.counters().get("subscriptions") == 1, 150, "the subscription")


@both
async def test_every_change_of_the_company_is_pushed_at_once(play: Play, protocol: str) -> None:
    """Each change arrives whole, in order, as history shows it; another company's changes do not."""
    async with play(companies=2) as client, wire(client.sandbox.ws_url, protocol) as link:
        await listening(client, link)
        made = client.sandbox.make_change(30)
        mine = [change for change in made if change.scope == client.sandbox.companies[0]]
        assert 0 < len(mine) < 30
        for change in mine:
            pushed = (await link.event())["data"]["assumedSessionChanged"]
            assert pushed == {"__typename": "SessionProtocol", **(change.record or {})}
            assert change.pushed_ms is not None
        assert all(change.pushed_ms is None for change in made if change not in mine)


@both
async def test_a_stopped_subscription_is_silent(play: Play, protocol: str) -> None:
    """After stop or complete nothing more comes of it, and the session goes on."""
    async with play(companies=1) as client, wire(client.sandbox.ws_url, protocol) as link:
        await listening(client, link)
        await link.say({"id": "1", "type": STOP[protocol]})
        await wait_until(lambda: "subscriptions" not in client.sandbox.counters(), 150, "its end")
        client.sandbox.make_change(5)
        await link.subscribe("{ __typename }", "2")
        frames = await link.hear_until("complete" if protocol == "graphql-transport-ws" else "data")
        assert [frame["type"] for frame in frames if frame["id"] == "1"] == (
            ["complete"] if protocol == "graphql-ws" else []
        )
        assert frames[-1]["id"] == "2"


async def test_participants_and_online_states_have_subscriptions_of_their_own(play: Play) -> None:
    """Who takes part is pushed when it changes; a computer that comes or goes is pushed, and in no history."""
    async with play(companies=1) as client, wire(client.sandbox.ws_url) as link:
        sandbox = client.sandbox
        await link.init({"authToken": sandbox.users[0].token})
        company = {"company": sandbox.companies[0]}
        people = "... on AssumedParticipants { sessionId participants { supporterIdentity { id } } }"
        online = "... on AssumedOnlineState { computerId online changedAt }"
        prefix = "subscription ($company: CustomerUuid!)"
        await link.subscribe(f"{prefix} {{ assumedParticipantsChanged(company: $company) {{ {people} }} }}", **company)
        await link.subscribe(
            f"{prefix} {{ assumedOnlineStateChanged(company: $company) {{ {online} }} }}", "2", **company
        )
        await wait_until(lambda: sandbox.counters().get("subscriptions") == 2, 150, "both")
        (new,) = sandbox.make_change(kind="new")
        assert (await link.event())["data"]["assumedParticipantsChanged"]["sessionId"] == new.id
        (joined,) = sandbox.make_change(kind="participants")
        pushed = (await link.event())["data"]["assumedParticipantsChanged"]
        assert pushed["sessionId"] == joined.id
        assert len(pushed["participants"]) != len((new.record or {})["participants"]) or joined.id != new.id
        (gone,) = sandbox.make_change(kind="online")
        assert (await link.event())["data"]["assumedOnlineStateChanged"] == gone.record
        assert sandbox.world.online.changes == [gone]
        assert gone not in sandbox.ledger.changes


@pytest.mark.parametrize("form", ["jwt", "user", "integrator"])
async def test_both_forms_of_connection_parameters_open_a_session(play: Play, form: str) -> None:
    """`Bearer <jwt>`, and an API token without a prefix."""
    async with play() as client, wire(client.sandbox.ws_url) as link:
        sandbox = client.sandbox
        bare = {"user": sandbox.users[0].token, "integrator": sandbox.integrator_tokens[0]}
        await link.init({"authToken": f"Bearer {client.jwt}" if form == "jwt" else bare[form]})


@pytest.mark.parametrize("token", [None, "", "Bearer nonsense", "Bearer", "a wrong api token"])
@pytest.mark.parametrize(("protocol", "code"), [("graphql-ws", 1011), ("graphql-transport-ws", 4403)])
async def test_bad_credentials_are_refused_as_the_stock_servers_do(
    play: Play, protocol: str, code: int, token: str | None
) -> None:
    """`connection_error` and 1011, or 4403; also for an API token with the prefix Bearer."""
    async with play() as client, wire(client.sandbox.ws_url, protocol) as link:
        await link.say({"type": "connection_init", "payload": {} if token is None else {"authToken": token}})
        if protocol == "graphql-ws":
            assert (await link.hear())["type"] == "connection_error"
        assert await link.code() == code
        await wait_until(lambda: "sockets" not in client.sandbox.counters(), 150, "its end")


async def test_an_api_token_with_the_prefix_is_refused(play: Play) -> None:
    """As the manual says: no `Bearer` before an API token."""
    async with play() as client, wire(client.sandbox.ws_url, "graphql-transport-ws") as link:
        token = client.sandbox.users[0].token
        await link.say({"type": "connection_init", "payload": {"authToken": f"Bearer {token}"}})
        assert await link.code() == 4403


@both
@pytest.mark.parametrize("code", [4401, 4403])
async def test_a_jwt_that_expires_ends_its_session(play: Play, protocol: str, code: int) -> None:
    """With `on_expiry` close the socket is closed with the code that is set, once the JWT expires."""
    options: dict[str, Any] = {"jwt_lifetime_s": 0.5, "expiry_code": code, "clock": wall()}
    async with play(**options) as client, wire(client.sandbox.ws_url, protocol) as link:
        await listening(client, link)
        assert await link.code() == code


async def test_a_jwt_that_expires_is_told_in_the_stream(play: Play) -> None:
    """With `on_expiry` failure a `Failure` TokenExpired comes in the stream, and no event after it."""
    options: dict[str, Any] = {"jwt_lifetime_s": 0.5, "on_expiry": "failure", "clock": wall()}
    async with play(**options) as client, wire(client.sandbox.ws_url) as link:
        await listening(client, link)
        assert (await link.event())["data"]["assumedSessionChanged"]["error"] == "TokenExpired"
        client.sandbox.make_change(3)
        await link.say({"id": "1", "type": "stop"})
        assert await link.hear() == {"type": "complete", "id": "1"}


async def test_a_jwt_that_expires_may_change_nothing(play: Play) -> None:
    """With `on_expiry` nothing the session outlives its JWT."""
    options: dict[str, Any] = {"jwt_lifetime_s": 0.3, "on_expiry": "nothing", "clock": wall()}
    async with play(companies=1, **options) as client, wire(client.sandbox.ws_url) as link:
        await listening(client, link)
        subscribed_ms = client.sandbox.options.clock()
        await wait_until(lambda: client.sandbox.options.clock() > subscribed_ms + 400, 150, "the expiry")
        client.sandbox.make_change(1, "new")
        assert "id" in (await link.event())["data"]["assumedSessionChanged"]


@both
async def test_another_company_is_a_failure_in_the_stream(play: Play, protocol: str) -> None:
    """AccessDenied arrives as data, then the subscription is complete."""
    async with play() as client, wire(client.sandbox.ws_url, protocol) as link:
        await link.init(credentials(client))
        await link.subscribe(DOCUMENT, company=client.sandbox.companies[1])
        assert (await link.event())["data"]["assumedSessionChanged"]["error"] == "AccessDenied"
        assert (await link.hear())["type"] == "complete"


async def test_wrong_documents_and_frames_are_answered_by_the_rules(play: Play) -> None:
    """graphql-transport-ws: a list of errors for a bad document, 4400, 4401, 4409, 4429 for bad frames."""
    async with play() as client:

        async def code_after(*frames: Any, init: bool = True) -> int:
            async with wire(client.sandbox.ws_url, "graphql-transport-ws") as link:
                if init:
                    await link.init(credentials(client))
                for frame in frames:
                    await link.say(frame)
                return await link.code()

        begin = {"id": "1", "type": "subscribe", "payload": {"query": DOCUMENT, "variables": {"company": "x"}}}
        endless = {**begin, "payload": {"query": DOCUMENT, "variables": {"company": client.sandbox.companies[0]}}}
        assert await code_after(begin, init=False) == 4401
        assert await code_after({"type": "connection_init"}) == 4429
        assert await code_after(endless, endless) == 4409
        assert [await code_after(frame) for frame in ("nonsense", "[]", b"{}", {"type": "start"})] == [4400] * 4
        async with wire(client.sandbox.ws_url, "graphql-transport-ws") as link:
            await link.init(credentials(client))
            await link.subscribe("subscription { nothing }")
            answer = await link.hear()
            assert (answer["type"], type(answer["payload"])) == ("error", list)


async def test_the_older_protocol_answers_mistakes_without_closing(play: Play) -> None:
    """graphql-ws: one error object for a syntax error, a last result for a misfit; the session goes on."""
    async with play() as client, wire(client.sandbox.ws_url) as link:
        await link.init(credentials(client))
        await link.subscribe("subscription {")
        answer = await link.hear()
        assert (answer["type"], type(answer["payload"])) == ("error", dict)
        await link.subscribe("subscription { nothing }")
        assert list(await link.event()) == ["errors"]
        assert (await link.hear())["type"] == "complete"
        await link.say("nonsense")
        assert (await link.hear())["type"] == "connection_error"
        await link.subscribe("{ __typename }")
        assert await link.event() == {"data": {"__typename": "Query"}}
        await link.hear_until("complete")
        await link.say({"type": "connection_terminate"})
        assert await link.code() == 1000


async def test_an_unknown_sub_protocol_is_not_accepted(play: Play) -> None:
    """4406 without a common sub-protocol; 404 for another path."""
    async with play(subprotocols="graphql-ws") as client:
        for protocol in ("graphql-transport-ws", None):
            async with wire(client.sandbox.ws_url, protocol) as link:
                assert link.protocol == ""
                assert await link.code() == 4406
        with pytest.raises(InvalidStatus) as refused:
            async with wire(client.sandbox.ws_url + "/elsewhere"):
                pass
        assert refused.value.response.status_code == 404


async def test_who_never_says_hello_is_closed(play: Play) -> None:
    """4408 after `init_wait_s`."""
    async with play(init_wait_s=0.1) as client, wire(client.sandbox.ws_url, "graphql-transport-ws") as link:
        assert await link.code() == 4408


def wall() -> Any:
    from bridge.sandbox.player import wall_ms

    return wall_ms
