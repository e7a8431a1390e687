"""The HTTP that Apprise's plugins speak, kept within bounds: requests, Apprise's own HTTP library, which only it uses.

Left alone it takes proxies and passwords from the environment (`HTTPS_PROXY`, `~/.netrc`), trusts a list of authorities
of its own instead of the system's, and reads an answer however long it is.
"""

from __future__ import annotations

import ssl
import time
from typing import Any

import requests

LONGEST = 1 << 20
"""Bytes of an answer that are read. The rest is left: whether an alert was taken is told by the status."""

LONGEST_S = 20.0
"""Seconds in which an answer's body is read."""


def restrain() -> None:
    """From now on every session that requests makes is a restrained one. Changes this process; may be called again."""
    requests.sessions.Session = _Restrained  # type: ignore[misc]
    requests.Session = _Restrained  # type: ignore[misc]


_Free = requests.sessions.Session


class _Restrained(_Free):
    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        streaming = kwargs.get("stream", False)
        if kwargs.get("verify", True) is True:
            kwargs["verify"] = _authorities()
        answer = super().send(request, **{**kwargs, "stream": True})
        return answer if streaming else _shortened(answer)


def _shortened(answer: requests.Response) -> requests.Response:
    body = bytearray()
    until = time.monotonic() + LONGEST_S
    for chunk in answer.iter_content(65_536):
        body += chunk
        if len(body) > LONGEST or time.monotonic() > until:
            break
    answer.close()
    answer._content = bytes(body[:LONGEST])
    return answer


def _authorities() -> str | bool:
    """The system's list of authorities, as all our other connections use it; requests' own where there is none."""
    found = ssl.get_default_verify_paths()
    return found.cafile or found.capath or True
