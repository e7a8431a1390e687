"""What the pcvisit sandbox's two queries do: who may ask, how often, and what they are told.

Failures are data, as in the vendor's manual: `{error, comment_for_dev, comment_for_user}`.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any, Final, Protocol

from bridge.sandbox.faults import PAGE, RESOLVE, Faults
from bridge.sandbox.feed import Source
from bridge.sandbox.ledger import Clock
from bridge.sandbox.pcvisit_pages import CursorRefused, Cut, Served, page
from bridge.sandbox.pcvisit_tokens import NotAccepted, Tokens
from bridge.sandbox.pcvisit_world import REPORTING_SINCE_MS, World

PERIODS: Final = {"second": 1_000, "minute": 60_000, "hour": 3_600_000}
FOR_USER: Final = {
    "AccessDenied": "Sie haben nicht die nötige Berechtigung, um diese Funktion zu nutzen!",  # as in the manual
    "TokenExpired": "Ihre Anmeldung ist abgelaufen.",
    "InvalidValue": "Eine Angabe ist ungültig.",
    "TryAgainLater": "Bitte versuchen Sie es später noch einmal.",
    "TimeOut": "Bitte versuchen Sie es später noch einmal.",
}


class Rules(Protocol):
    """The options the API heeds, read anew for every request."""

    jwt_lifetime_s: float | None
    rate_limit: int | None
    rate_period: str
    rate_error: str
    limit_text_first: bool
    rate_counts_logins: bool
    error_prefix: bool
    max_page: int
    refuse_long_pages: bool
    newest_first: bool


class Failed(Exception):
    """The answer is a `Failure` with this error id."""

    def __init__(self, error: str, for_dev: str) -> None:
        super().__init__(error)
        self.error = error
        self.for_dev = for_dev


@dataclass(slots=True)
class Call:
    """One request on its way through the API: its headers (lower case), and the pages it was given.

    On a socket there are no headers: `guest` holds the claims of who was admitted, and the rest is a subscription's.
    """

    headers: Mapping[str, str]
    pages: list[Served] = dataclasses.field(default_factory=list)
    guest: Mapping[str, Any] | None = None
    source: Source | None = None
    field: str = ""
    whole: bool = False


class Api:
    """The vendor's behaviour, without HTTP and without GraphQL."""

    def __init__(self, rules: Rules, clock: Clock, world: World, tokens: Tokens, faults: Faults) -> None:
        self._rules = rules
        self._clock = clock
        self._world = world
        self._tokens = tokens
        self._faults = faults
        self._asked: dict[str, deque[int]] = {}
        self.counters: Counter[str] = Counter()

    def login(self, call: Call, user_token: str, integrator_token: str) -> dict[str, Any]:
        """`SiRetrieveSignedJwt`."""
        self.counters["login_requests"] += 1
        try:
            return self._login(call, user_token, integrator_token)
        except Failed as failed:
            return self.failure(failed)

    def history(self, call: Call, name: str, company: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """`AcQuerySessionsHistory`. `name` is the field's name in the answer."""
        self.counters["history_requests"] += 1
        try:
            return self._history(call, name, company, arguments)
        except Failed as failed:
            return self.failure(failed)

    def export(self) -> dict[str, Any]:
        """`AcExportSessionsHistory`: in the schema, but nothing of it is documented."""
        return self.failure(Failed("ApplicationFailure", "the sandbox does not play exports"))

    def _login(self, call: Call, user_token: str, integrator_token: str) -> dict[str, Any]:
        garbage = self._strike("login")
        self._authenticate_login(call)
        user = self._tokens.users.get(user_token)
        integrator = self._tokens.integrators.get(integrator_token)
        if integrator is None or user is None:
            raise Failed("InvalidValue", "user or integrator api token unknown")
        if self._rules.rate_counts_logins:
            self._spend(integrator)
        self.counters["logins"] += 1
        token = "no.such.token" if garbage else self._tokens.issue(user, integrator, self._rules.jwt_lifetime_s)
        return {"__typename": "SignedJwtWasRetrieved", "token": token, "customerUuid": user.companies[0]}

    def _history(self, call: Call, name: str, company: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        pagination = arguments.get("pagination") or {}
        operation = "next page" if pagination.get("cursor") else "page"
        self._strike(operation)
        claims = self._claims(call)
        self._spend(claims["integrator"])
        if company not in claims["companies"]:
            raise Failed("AccessDenied", "no matching allowed relationships found")  # as in the manual
        cut = self._cut(company, arguments, pagination)
        fault = self._faults.draw(PAGE, operation)
        if fault is not None and fault.kind == "cursor_refused":
            raise Failed(fault.error or "InvalidValue", fault.comment or "cursor is not valid any more")
        newest_first = self._rules.newest_first
        answer, served = page(cut, fault, newest_first=newest_first, since_ms=REPORTING_SINCE_MS, name=name)
        call.pages.append(served)
        return answer

    def _strike(self, operation: str) -> bool:
        """Carry out a fault of stage `resolve`. True: the token to be issued is to be garbage."""
        fault = self._faults.draw(RESOLVE, operation)
        if fault is None:
            return False
        if fault.kind == "failure":
            raise Failed(fault.error or "BackendFailure", fault.comment or "a backend did not answer")
        if fault.kind == "revoked":
            self._tokens.revoke()
        return fault.kind == "garbage_token"

    def _authenticate_login(self, call: Call) -> None:
        key = call.headers.get("x-api-key")
        if key is None:
            self._claims(call)
        elif key not in self._tokens.users and key not in self._tokens.integrators:
            raise Failed("InvalidValue", "x-api-key unknown")

    def _claims(self, call: Call) -> Mapping[str, Any]:
        if call.guest is not None:
            return call.guest
        scheme, _, token = call.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or not token:
            raise Failed("AccessDenied", "jwt missing")
        try:
            return self._tokens.check(token)
        except NotAccepted as refusal:
            self.counters["expired_tokens" if refusal.expired else "invalid_tokens"] += 1
            raise Failed("TokenExpired" if refusal.expired else "AccessDenied", str(refusal)) from None

    def _spend(self, integrator: str) -> None:
        """Charge one request to the integrator's budget: so many in any one period."""
        limit = self._rules.rate_limit
        if limit is None:
            return
        period = PERIODS[self._rules.rate_period]
        now = self._clock()
        asked = self._asked.setdefault(integrator, deque())
        while asked and asked[0] <= now - period:
            asked.popleft()
        if len(asked) < limit:
            asked.append(now)
            return
        self.counters["rate_limited"] += 1
        seconds = max(1, math.ceil((asked[-limit] + period - now) / 1000))
        until = formatdate(now / 1000 + seconds, usegmt=True)
        notes = [
            f"Retry-After: {seconds} seconds (until {until})",
            f"Rate limit: {limit} requests per {self._rules.rate_period}",
        ]
        if self._rules.limit_text_first:
            notes.reverse()
        raise Failed(self._rules.rate_error, ". ".join(notes))

    def _cut(self, company: str, arguments: Mapping[str, Any], pagination: Mapping[str, Any]) -> Cut:
        for name in ("filter", "sort", "search"):
            if arguments.get(name):
                raise Failed("InvalidValue", f"the content of {name} is not documented: the sandbox takes none")
        frame = arguments.get("timeFrame") or {}
        start, end = frame.get("startDate"), frame.get("endDate")
        if start is not None and end is not None and start > end:
            raise Failed("InvalidValue", "timeFrame ends before it starts")
        longest = self._rules.max_page
        length = pagination.get("lengthStartingFromOffset", longest)
        offset, cursor = pagination.get("offset"), pagination.get("cursor")
        if length < 1 or (offset or 0) < 0 or (length > longest and self._rules.refuse_long_pages):
            raise Failed("InvalidValue", f"lengthStartingFromOffset must be 1 to {longest}, offset 0 or more")
        if offset and cursor:
            raise Failed("InvalidValue", "offset and cursor exclude each other")
        cut = Cut(self._world.companies[company], start, end, offset or 0, min(length, longest))
        try:
            return cut.at_cursor(cursor) if cursor else cut
        except CursorRefused:
            raise Failed("InvalidValue", "cursor unknown, or of another query") from None

    def failure(self, failed: Failed) -> dict[str, Any]:
        """A failure as data, and counted."""
        self.counters[f"failed_{failed.error}"] += 1
        return {
            "__typename": "Failure",
            "error": f"ErrorIDs.{failed.error}" if self._rules.error_prefix else failed.error,
            "comment_for_dev": failed.for_dev,
            "comment_for_user": FOR_USER.get(failed.error, "Es ist ein Fehler aufgetreten."),
        }
