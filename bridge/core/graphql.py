"""GraphQL over HTTP: the request, and what an answer means for what happens next."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from bridge.core.answer import check, harmless, quota
from bridge.core.errors import BridgeError, Refused, Retry, Throttled, TooComplex, Unauthorized
from bridge.core.facts import Request, Response
from bridge.core.fields import kind
from bridge.core.record import Json
from bridge.core.secret import Secret

Reactions = Mapping[str, tuple[type[BridgeError], str]]
"""By error id: what happens next, and what it means or what to do."""

# No vendor documents its codes. These are the ones in common use, compared without case, prefix or punctuation.
_CODES: Mapping[str, type[BridgeError]] = {
    **dict.fromkeys(
        ("unauthenticated", "unauthorized", "unauthorised", "forbidden", "accessdenied", "tokenexpired", "jwtexpired",
         "invalidtoken", "invalidjwt"),
        Unauthorized,
    ),
    **dict.fromkeys(("toomanyrequests", "ratelimited", "ratelimitexceeded", "throttled", "tryagainlater"), Throttled),
    **dict.fromkeys(
        ("graphqlparsefailed", "graphqlvalidationfailed", "baduserinput", "parsefailed", "validationfailed"), Refused
    ),
    **dict.fromkeys(("internalservererror", "serviceunavailable"), Retry),
}  # fmt: skip

_UNAUTHORIZED = re.compile(
    r"\b(un|not )(authenticated|authori[sz]ed)\b|\baccess ?denied\b|\btoken ?expired\b"
    r"|\b(token|jwt)( is| has)? expired\b|\b(invalid|missing) (token|jwt)\b",
    re.IGNORECASE,
)
_THROTTLED = re.compile(r"\b(too many requests|rate ?limit)", re.IGNORECASE)
# What graphql-ruby says, and others like it.
_COMPLEX = re.compile(r"\bexceed(s|ed) (the )?max(imum)? (query )?complexity\b|\btoo complex\b", re.IGNORECASE)

_ADVICE: Mapping[type[BridgeError], str] = {
    Unauthorized: "the token is not accepted",
    Throttled: "over the quota",
    TooComplex: "the query is too complex for the vendor",
    Refused: "the vendor's schema does not fit our query",
    Retry: "a fault at the vendor",
}


def post(
    url: str,
    headers: Mapping[str, str | Secret],
    query: str,
    variables: Mapping[str, Json],
    *,
    counts: bool = True,
) -> Request:
    """One operation as a request. Variables that are None are left out: absent and null may differ."""
    given = {name: value for name, value in variables.items() if value is not None}
    return Request("POST", url, headers, {"query": query, "variables": given}, counts)


def peek(response: Response, field: str) -> dict[str, Json]:
    """`data.<field>` if it is there and an object, whatever else the answer holds; else empty. Never raises."""
    answer = response.json
    data = answer.get("data") if isinstance(answer, dict) else None
    found = data.get(field) if isinstance(data, dict) else None
    return found if isinstance(found, dict) else {}


def read(response: Response, field: str) -> dict[str, Json]:
    """`data.<field>` of an answer without errors.

    A partial answer (data beside `errors`) is not taken: what is missing from it looks like absence.
    Raises Unauthorized, Throttled, Retry or Refused, by what happens next.
    """
    errors = response.json.get("errors") if isinstance(response.json, dict) else None
    # A status that names the cause goes first; with 400 it is the errors that say what is wrong.
    if not (errors and response.status == 400):
        check(response, field)
    if response.problem:
        raise Retry(f"{field}: the answer is not JSON ({response.problem})")
    if errors:
        raise fault(errors, field, response.status)
    found, path = response.json, "the answer"
    for name in ("data", field):
        if not isinstance(found, dict):
            break
        found, path = found.get(name), name
    if not isinstance(found, dict):
        raise Retry(f"{field}: {path} is {kind(found)}, expected an object")
    return found


def nodes(connection: Mapping[str, Json], field: str) -> list[Json]:
    """The list `nodes` of a connection. Raises Retry where it is missing and `totalCount` is not 0."""
    found = connection.get("nodes")
    if found is None and connection.get("totalCount") == 0:
        return []
    if not isinstance(found, list):
        raise Retry(f"{field}: nodes is {kind(found)}, expected a list")
    return found


def failure(
    field: str, error: Json, comment: Json, reactions: Reactions, *, quota_if_named: Collection[str] = ()
) -> BridgeError:
    """The error for a failure that arrived as data: an id, with or without a prefix, and the vendor's comment.

    An id that is Throttled by the table takes wait and limit from the comment; those in `quota_if_named` mean the
    quota only if the comment names a wait. An unknown id is a Retry, and says so.
    """
    id_ = error.rpartition(".")[2] if isinstance(error, str) else ""
    known = reactions.get(id_)
    next_, advice = known or (Retry, "an error id we do not know")
    named = id_ if re.fullmatch(r"[A-Za-z0-9_]{1,60}", id_) else "without a readable id"
    text = f"{field}: failure {named}, {advice}{harmless(comment)}"
    if next_ is Throttled or id_ in quota_if_named:
        wait, limit = quota(comment)
        if wait is not None or id_ not in quota_if_named:
            return Throttled(text, after=wait, limit=limit)
    return next_(text)


@dataclass(frozen=True)
class Failures:
    """How a vendor reports failures as data: an object of type `typename`, or one whose `error` is not null.

    `error` and `comment` are its fields' names; `reactions` and `quota_if_named` are as in `failure`.
    """

    reactions: Reactions
    quota_if_named: Collection[str] = ()
    typename: str = "Failure"
    error: str = "error"
    comment: str = "comment_for_dev"

    def found(self, value: Json, what: str, **instead: tuple[type[BridgeError], str]) -> BridgeError | None:
        """The error for a value that is such an object; None for any other. `instead` replaces reactions by id."""
        if not isinstance(value, dict) or (value.get(self.error) is None and value.get("__typename") != self.typename):
            return None
        reactions = {**self.reactions, **instead}
        return failure(
            what, value.get(self.error), value.get(self.comment), reactions, quota_if_named=self.quota_if_named
        )

    def read(self, response: Response, field: str, **instead: tuple[type[BridgeError], str]) -> dict[str, Json]:
        """The same as `read` of this module, but for a failure that arrives as data: whatever the status says."""
        if (error := self.found(peek(response, field), field, **instead)) is not None:
            raise error
        return read(response, field)


def fault(errors: Json, field: str, status: int = 200, *, otherwise: type[BridgeError] | None = None) -> BridgeError:
    """The error for the `errors` of an answer, by the first of them: its code in common use, else its message.

    `otherwise`: what it is when neither says; None: what the status says.
    """
    first = errors[0] if isinstance(errors, list) and errors else errors
    first = first if isinstance(first, dict) else {}
    extensions = first.get("extensions")
    code = extensions.get("code") if isinstance(extensions, dict) else first.get("code")
    message = first.get("message")
    code = code[:100] if isinstance(code, str) else ""
    message = message[:500] if isinstance(message, str) else ""
    known = _CODES.get(re.sub("[^a-z]", "", code.rpartition(".")[2].lower()))
    if known is None:
        if _UNAUTHORIZED.search(message):
            known = Unauthorized
        elif _THROTTLED.search(message):
            known = Throttled
        elif otherwise is None and _COMPLEX.search(message):
            known = TooComplex
        else:
            # GraphQL over HTTP: 400 means that the request itself is wrong, so it will stay wrong.
            known = otherwise or (Refused if status == 400 else Retry)
    named = f" {code}" if re.fullmatch(r"[A-Za-z_.]{1,60}", code) else ""
    text = f"{field}: GraphQL error{named}, {_ADVICE[known]}{harmless(message)}"
    if known is Throttled:
        wait, limit = quota(message)
        return Throttled(text, after=wait, limit=limit)
    return known(text)
