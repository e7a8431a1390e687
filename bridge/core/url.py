"""URLs as far as the bridge judges them: whether a token may travel there, and how to name one in a text."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

from bridge.core.errors import Malformed

LONGEST = 200

_LOOPBACK = re.compile(r"(.+\.)?localhost|127(\.[0-9]{1,3}){3}|::1", re.IGNORECASE)


def problem(url: str, *, plain: str = "http", secure: str = "https", allow_plain: bool = False) -> str:
    """Why nothing may be sent to `url`, in words; "" if it may.

    `plain` and `secure` are the two spellings of the scheme (`ws` and `wss` for sockets). The plain one is for this
    machine only, unless `allow_plain`.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "not a URL"
    if parts.scheme not in (plain, secure) or not host or port == 0 or not url.isprintable() or " " in url:
        return f"not a URL of the form {secure}://host/path"
    if parts.username is not None or parts.password is not None:
        return "the URL holds a user name or password; configure credentials by their own keys"
    if parts.scheme == plain and not allow_plain and not is_loopback(host):
        return f"{plain}:// would show the token to everyone on the way; use {secure}://"
    return ""


def place(url: str) -> str:
    """`host:port/path`, for texts: no credentials, no query, no fragment."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "?", f":{parts.port}" if parts.port else ""
    except ValueError:
        return "(not a URL)"
    return printable(f"[{host}]{port}{parts.path}" if ":" in host else f"{host}{port}{parts.path}")


def host_of(url: str) -> str:
    """The host alone, for texts; "" where the URL names none or is none."""
    try:
        return printable(urlsplit(url).hostname or "")
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own, by its spelling alone: nothing is resolved."""
    return bool(_LOOPBACK.fullmatch(host))


def printable(text: str) -> str:
    """Foreign text fit for a log line: short, ASCII, on one line."""
    return re.sub(r"[^\x20-\x7e]", "?", text)[:LONGEST]


def segment(id_: str) -> str:
    """A vendor's id as one segment of a path, so that nothing in it leads elsewhere.

    Raises Malformed for what no path can hold: nothing, half a surrogate pair, and the dots that mean a place.
    """
    try:
        found = quote(id_, safe="")
    except UnicodeEncodeError:
        found = ""
    if found in ("", ".", ".."):
        raise Malformed("an id that no path can hold")
    return found
