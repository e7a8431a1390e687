"""The HTTP session by which spans leave: nothing of the environment, no redirect, and it remembers why it failed."""

from __future__ import annotations

from typing import Any

import requests


class Session(requests.Session):
    """`failure`: why the last request was not taken, as a sentence without address or secret; "" if it was.

    Proxies, passwords (`.netrc`) and authorities that the environment names are for others.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False
        self.failure = ""

    def request(self, *given: Any, **how: Any) -> requests.Response:
        """See `requests.Session.request`. Raises for a redirect as well, which the library takes for success."""
        try:
            answer = super().request(*given, **how)
        except requests.Timeout:
            self.failure = "it does not answer in time"
            raise
        except requests.exceptions.SSLError:
            self.failure = "its certificate is not accepted"
            raise
        except requests.RequestException:
            self.failure = "it cannot be reached, or broke off"
            raise
        status = answer.status_code
        self.failure = "" if 200 <= status <= 299 else f"it answered with HTTP status {status}"
        if 300 <= status <= 399:
            self.failure += ", a redirect, which is not followed"
            raise requests.TooManyRedirects(self.failure)
        return answer
