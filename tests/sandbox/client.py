"""A plain client of the pcvisit sandbox: the vendor's own sample queries, sent with aiohttp."""

from __future__ import annotations

import json
from typing import Any

import aiohttp

from bridge.sandbox.pcvisit import PcvisitSandbox

# The three documents of the vendor's manual, word for word.
GET_JWT = """query GetJWT($userApiToken: UserApiToken!, $integratorApiToken: IntegratorApiToken!) {
  SiRetrieveSignedJwt(
    userApiToken: $userApiToken
    integratorApiToken: $integratorApiToken
  ) {
    ... on SignedJwtWasRetrieved {
      token
      customerUuid
    }
    ... on Failure {
      error
      comment_for_dev
      comment_for_user
    }
  }
}"""
GET_WORK_HISTORY = """query GetWorkHistory(
  $company: CustomerUuid!
  $timeFrame: TimeFrame
  $filter: Filter
  $sort: [Sort!]
  $search: Search
  $pagination: Pagination
) {
  AcQuerySessionsHistory(
    company: $company
    timeFrame: $timeFrame
    filter: $filter
    sort: $sort
    search: $search
    pagination: $pagination
  ) {
    ... on SessionProtocolEdge {
      nodes {
        cursor
        value {
          id
          name
          sessionCreatedAt
          sessionFinishedAt
          sessionCompanyUuid
          state
          type
          duration
          customDuration
          invoiceState
          participants {
            supporterIdentity {
              id
            }
            supporterContact {
              email
            }
            isSessionCreator
          }
          target {
            computerId
            computerDisplayName
          }
          clientCompany {
            clientId
            clientName
          }
        }
      }
      totalCount
      batchLoadingIsStillActive
      reportingActiveSince
    }
    ... on Failure {
      error
      comment_for_dev
      comment_for_user
    }
  }
}"""
PAGED_WORK_HISTORY = """query GetWorkHistory($company: CustomerUuid!, $pagination: Pagination) {
  AcQuerySessionsHistory(
    company: $company
    pagination: $pagination
  ) {
    ... on SessionProtocolEdge {
      nodes {
        cursor
        value {
          id
          name
          sessionCreatedAt
        }
      }
      totalCount
    }
  }
}"""
# The cURL example's: without the fields below `state`.
SHORT_WORK_HISTORY = (
    "query GetWorkHistory($company: CustomerUuid!, $timeFrame: TimeFrame, $pagination: Pagination) "
    "{ AcQuerySessionsHistory(company: $company, timeFrame: $timeFrame, pagination: $pagination) { ... on "
    "SessionProtocolEdge { nodes { value { id name sessionCreatedAt sessionFinishedAt sessionCompanyUuid state } } "
    "totalCount batchLoadingIsStillActive reportingActiveSince } ... on Failure { error comment_for_dev "
    "comment_for_user } } }"
)


class Client:
    """One HTTP session with a sandbox. `jwt` is sent once there is one."""

    def __init__(self, sandbox: PcvisitSandbox, http: aiohttp.ClientSession) -> None:
        self.sandbox = sandbox
        self.http = http
        self.jwt = ""

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.jwt}"} if self.jwt else {}

    def post(self, query: str, variables: dict[str, Any], headers: dict[str, str] | None = None) -> Any:
        """The request as a context manager, for tests that look at status, headers or broken bodies."""
        body = {"query": query, "variables": variables}
        return self.http.post(
            self.sandbox.url,
            json=body,
            headers=self.headers() if headers is None else headers,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=30),
        )

    async def ask(self, query: str, variables: dict[str, Any], headers: dict[str, str] | None = None) -> Any:
        """The decoded answer."""
        async with self.post(query, variables, headers) as response:
            return json.loads(await response.read())

    async def login(self, user: int = 0, headers: dict[str, str] | None = None) -> dict[str, Any]:
        """Fetch a JWT for one of the users, and keep it. Returns the result, whatever it is."""
        integrator = self.sandbox.integrator_tokens[0]
        variables = {"userApiToken": self.sandbox.users[user].token, "integratorApiToken": integrator}
        answer = await self.ask(GET_JWT, variables, {"x-api-key": integrator} if headers is None else headers)
        result: dict[str, Any] = answer["data"]["SiRetrieveSignedJwt"]
        self.jwt = result.get("token", "")
        return result

    async def page(self, *, company: int = 0, length: int = 10, **more: Any) -> dict[str, Any]:
        """One page of history. `more`: `cursor` or `offset`, `timeFrame`."""
        answer = await self.ask(GET_WORK_HISTORY, self.variables(company=company, length=length, **more))
        result: dict[str, Any] = answer["data"]["AcQuerySessionsHistory"]
        return result

    def variables(self, *, company: int = 0, length: int = 10, **more: Any) -> dict[str, Any]:
        """The variables of a history query."""
        frame = {"timeFrame": more.pop("timeFrame")} if "timeFrame" in more else {}
        pagination = {"lengthStartingFromOffset": length, **more}
        return {"company": self.sandbox.companies[company], "pagination": pagination, **frame}


def ids(page: dict[str, Any]) -> list[str]:
    """The session ids of a page."""
    return [node["value"]["id"] for node in page["nodes"]]
