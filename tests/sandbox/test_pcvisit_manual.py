"""The sandbox answers the vendor's own sample queries in the documented shapes, and refuses as documented."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest

from tests.sandbox.client import (
    GET_JWT,
    GET_WORK_HISTORY,
    PAGED_WORK_HISTORY,
    SHORT_WORK_HISTORY,
    ids,
)
from tests.sandbox.conftest import HandClock, Play

pytestmark = pytest.mark.anyio

YEAR_2021 = {"startDate": 1609459200000, "endDate": 1640995200000}


def claims(token: str) -> dict[str, Any]:
    head, body, _ = token.split(".")
    assert json.loads(base64.urlsafe_b64decode(head + "==")) == {"alg": "RS256", "typ": "JWT"}
    decoded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=="))
    return decoded


async def test_the_sample_login_yields_a_jwt_and_the_customer(play: Play, clock: HandClock) -> None:
    """`GetJWT` with x-api-key returns an RS256 JWT with iat and exp, and the customer's UUID."""
    async with play(login=False, jwt_lifetime_s=300) as client:
        result = await client.login()
        assert result["customerUuid"] == "12345678-1234-1234-1234-123456789012"
        found = claims(result["token"])
        assert (found["iat"], found["exp"]) == (clock() // 1000, clock() // 1000 + 300)
        again = await client.login(headers={"Authorization": f"Bearer {result['token']}"})
        assert again["token"] != result["token"]


async def test_a_jwt_may_lack_exp(play: Play) -> None:
    """With `jwt_lifetime_s` None the JWT has no `exp` and goes on being valid."""
    async with play(jwt_lifetime_s=None) as client:
        assert "exp" not in claims(client.jwt)
        assert (await client.page())["totalCount"] == 31


@pytest.mark.parametrize(
    ("headers", "user", "integrator", "error"),
    [
        ({}, None, None, "AccessDenied"),
        ({"x-api-key": "wrong"}, None, None, "InvalidValue"),
        ({"Authorization": "Bearer wrong"}, None, None, "AccessDenied"),
        (None, "wrong", None, "InvalidValue"),
        (None, None, "wrong", "InvalidValue"),
    ],
)
async def test_a_login_without_good_tokens_is_a_failure(
    play: Play, headers: dict[str, str] | None, user: str | None, integrator: str | None, error: str
) -> None:
    """No authentication is AccessDenied, unknown API tokens are InvalidValue; both come as data with status 200."""
    async with play(login=False) as client:
        sandbox = client.sandbox
        variables = {
            "userApiToken": user or sandbox.users[0].token,
            "integratorApiToken": integrator or sandbox.integrator_tokens[0],
        }
        sent = {"x-api-key": sandbox.users[0].token} if headers is None else headers
        async with client.post(GET_JWT, variables, sent) as response:
            assert response.status == 200
            result = (await response.json())["data"]["SiRetrieveSignedJwt"]
        assert result.keys() == {"error", "comment_for_dev", "comment_for_user"}
        assert result["error"] == error
        assert sandbox.counters().get("logins", 0) == 0


async def test_the_sample_history_query_returns_the_sample_session(play: Play) -> None:
    """The manual's first history query finds the manual's session, field for field as published."""
    async with play() as client:
        page = await client.page(timeFrame=YEAR_2021, offset=0)
        first = page["nodes"][0]["value"]
        published = {
            "id": "session-uuid-1",
            "name": "Support Session",
            "sessionCreatedAt": 1609459200000,
            "sessionFinishedAt": 1609462800000,
            "sessionCompanyUuid": "12345678-1234-1234-1234-123456789012",
            "state": "Closed",
            "type": "Adhoc",
            "duration": 3600000,
            "customDuration": None,
            "invoiceState": "Invoiced",
        }
        assert {name: first[name] for name in published} == published
        assert page["reportingActiveSince"] == 1609459200000
        assert page["batchLoadingIsStillActive"] is False
        assert page["totalCount"] == 11
        assert [change.id for change in client.sandbox.ledger.changes[:2]] == ["session-uuid-1", "session-1"]


async def test_the_sample_curl_query_is_answered(play: Play) -> None:
    """The cURL example's shorter document gives nodes without cursors."""
    async with play() as client:
        answer = await client.ask(SHORT_WORK_HISTORY, client.variables(timeFrame=YEAR_2021, offset=0))
        node = answer["data"]["AcQuerySessionsHistory"]["nodes"][0]
        assert node.keys() == {"value"}
        assert len(node["value"]) == 6


async def test_the_sample_pages_lead_to_every_session_once(play: Play) -> None:
    """The manual's loop, with the cursor of the last node, reads all sessions; the sample names are among them."""
    async with play() as client:
        names: list[str] = []
        variables = client.variables(length=10)
        for _ in range(10):
            page = (await client.ask(PAGED_WORK_HISTORY, variables))["data"]["AcQuerySessionsHistory"]
            if not page["nodes"]:
                break
            names += [node["value"]["name"] for node in page["nodes"]]
            variables = client.variables(length=10, cursor=page["nodes"][-1]["cursor"])
        assert len(names) == page["totalCount"] == 31
        assert names[:11] == ["Support Session", *(f"Session {n}" for n in range(1, 11))]


async def test_pages_are_by_creation_time_and_the_frame_is_inclusive(play: Play) -> None:
    """Rows come by sessionCreatedAt; both ends of the time frame belong to it; offset counts rows."""
    async with play() as client:
        everything = await client.page(length=100)
        created = [node["value"]["sessionCreatedAt"] for node in everything["nodes"]]
        assert created == sorted(created)
        frame = {"startDate": created[3], "endDate": created[7]}
        assert ids(await client.page(timeFrame=frame)) == ids(everything)[3:8]
        assert ids(await client.page(timeFrame=frame, offset=2, length=2)) == ids(everything)[5:7]


async def test_newest_first_turns_the_order_round(play: Play) -> None:
    """With `newest_first` the same cursors walk the other way."""
    async with play(newest_first=True) as client:
        first = await client.page(length=20)
        second = await client.page(length=20, cursor=first["nodes"][-1]["cursor"])
        assert ids(second)[-1] == "session-uuid-1"
        assert len(set(ids(first) + ids(second))) == 31


async def test_history_without_a_good_jwt_is_a_failure(play: Play, clock: HandClock) -> None:
    """Missing, foreign and revoked JWTs are AccessDenied, an expired one is TokenExpired and counted."""
    async with play(jwt_lifetime_s=60) as client:
        good = client.jwt
        for token in ("", "rubbish", good[:-6] + "AAAAAA"):
            client.jwt = token
            assert (await client.page())["error"] == "AccessDenied"
        client.jwt = good
        clock.advance(59)
        assert "nodes" in await client.page()
        clock.advance(2)
        assert (await client.page())["error"] == "TokenExpired"
        assert client.sandbox.counters()["expired_tokens"] == 1
        await client.login()
        client.sandbox.revoke_tokens()
        assert (await client.page())["error"] == "AccessDenied"
        await client.login()
        assert "nodes" in await client.page()


async def test_another_company_is_denied_in_the_words_of_the_manual(play: Play) -> None:
    """A user reads the own company only; the last user reads them all."""
    async with play() as client:
        assert await client.page(company=1) == {
            "error": "AccessDenied",
            "comment_for_dev": "no matching allowed relationships found",
            "comment_for_user": "Sie haben nicht die nötige Berechtigung, um diese Funktion zu nutzen!",
        }
        await client.login(user=3)
        assert (await client.page(company=1))["totalCount"] == 20
        assert (await client.page(company=2))["totalCount"] == 20


@pytest.mark.parametrize(
    "more",
    [
        {"length": 0},
        {"offset": -1},
        {"cursor": "cursor_xyz789"},
        {"length": 101},
        {"timeFrame": {"startDate": 2, "endDate": 1}},
    ],
)
async def test_bad_parameters_are_invalid_values(play: Play, more: dict[str, Any]) -> None:
    """What makes no sense is answered with InvalidValue."""
    async with play(refuse_long_pages=True) as client:
        assert (await client.page(**more))["error"] == "InvalidValue"


async def test_a_cursor_belongs_to_its_query(play: Play) -> None:
    """A cursor is refused with another time frame, and together with an offset."""
    async with play() as client:
        cursor = (await client.page())["nodes"][-1]["cursor"]
        assert (await client.page(cursor=cursor, timeFrame=YEAR_2021))["error"] == "InvalidValue"
        assert (await client.page(cursor=cursor, offset=5))["error"] == "InvalidValue"


async def test_the_length_of_a_page_is_required(play: Play) -> None:
    """Pagination without lengthStartingFromOffset is refused by the schema, with an `errors` array."""
    async with play() as client:
        variables = {"company": client.sandbox.companies[0], "pagination": {"offset": 0}}
        async with client.post(GET_WORK_HISTORY, variables) as response:
            assert response.status == 400
            assert "lengthStartingFromOffset" in (await response.json())["errors"][0]["message"]


@pytest.mark.parametrize("rate_error", ["TryAgainLater", "TimeOut"])
@pytest.mark.parametrize("limit_text_first", [False, True])
async def test_the_rate_limit_is_per_integrator_and_says_how_long_to_wait(
    play: Play, clock: HandClock, rate_error: str, limit_text_first: bool
) -> None:
    """Over the limit both notes stand in comment_for_dev, in either order, and waiting as told is enough."""
    options: dict[str, Any] = {"rate_limit": 3, "rate_error": rate_error, "limit_text_first": limit_text_first}
    async with play(**options) as client:  # the login was the first
        clock.advance(10)
        await client.page()
        await client.login(user=1)
        refused = await client.page(company=1)
        assert refused["error"] == rate_error
        text = refused["comment_for_dev"]
        wait = re.search(r"Retry-After: (\d+) seconds \(until \w{3}, \d\d \w{3} 2025 \d\d:\d\d:\d\d GMT\)", text)
        limit = re.search(r"Rate limit: 3 requests per minute", text)
        assert wait is not None
        assert limit is not None
        assert (limit.start() < wait.start()) is limit_text_first
        assert wait[1] == "50"
        assert client.sandbox.counters()["rate_limited"] == 1
        clock.advance(50)
        assert "nodes" in await client.page(company=1)


async def test_spellings_that_differ_are_options(play: Play) -> None:
    """Error ids may carry their prefix, and milliseconds may be written as 1.6094592e12."""
    async with play(error_prefix=True, float_milliseconds=True) as client:
        async with client.post(GET_WORK_HISTORY, client.variables(timeFrame=YEAR_2021)) as response:
            text = await response.text()
        assert '"sessionCreatedAt":1.6094592e12' in text
        assert '"reportingActiveSince":1.6094592e12' in text
        value = json.loads(text)["data"]["AcQuerySessionsHistory"]["nodes"][0]["value"]
        assert value["sessionFinishedAt"] == 1609462800000
        assert (await client.page(company=1))["error"] == "ErrorIDs.AccessDenied"


async def test_introspection_shows_the_two_queries(play: Play) -> None:
    """Introspection works; all subscriptions are called assumed."""
    async with play() as client:
        answer = await client.ask(
            "{ __schema { subscriptionType { fields { name } } queryType { fields { name } } } }", {}
        )
        schema = answer["data"]["__schema"]
        assert all(field["name"].startswith("assumed") for field in schema["subscriptionType"]["fields"])
        names = {field["name"] for field in schema["queryType"]["fields"]}
        assert names == {"SiRetrieveSignedJwt", "AcQuerySessionsHistory", "AcExportSessionsHistory"}
