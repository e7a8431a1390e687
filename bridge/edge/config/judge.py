"""Judges what operators write in GraphQL, in a process of its own where that is possible.

The library holds five megabytes, for a judgement that is passed once. So a daemon has a copy of itself do it while it
reads the rest of its configuration, on another processor where there is one, and the copy is gone before it starts.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import select
import signal
import sys
import threading
import time
from collections.abc import Sequence
from typing import NoReturn

from bridge.core.settings import Subscription
from bridge.edge.config.verdicts import SIZE, Verdicts

DEADLINE_S = 30.0
"""How long the copy may take. Then, and when it fails in any other way, we do its work ourselves."""

Verdict = list[tuple[str, str]]
"""The problems of one subscription: the key of its table that each is about, and the sentence."""


class Judge:
    """`begin` as soon as it is known that there will be something to judge; `judge`, any number of times; `close`."""

    def __init__(self, *, apart: bool = False, kept: Verdicts | None = None) -> None:
        """`apart`: spare this process the library, if it can be. `kept`: what former processes have found."""
        self._apart = apart
        self._kept = kept
        self._known: frozenset[bytes] = frozenset()
        self._copy: _Copy | None = None

    def begin(self) -> None:
        """Have the library loaded while we do something else, unless it seems that it will not be needed."""
        if self._kept is not None:
            self._known = frozenset(self._kept.read())
            _SOUND.update(self._known)
        if not self._known:
            self._load()

    def _load(self) -> None:
        if self._apart and self._copy is None and _may_fork():
            # No more processes, or no more files: then we do it ourselves.
            with contextlib.suppress(OSError):
                self._copy = _Copy()

    def judge(self, subscriptions: Sequence[Subscription]) -> list[Verdict]:
        """What is wrong with each of them."""
        if not subscriptions:
            return []
        keys = [_key(one) for one in subscriptions]
        if self._apart and _SOUND.issuperset(keys):
            found: list[Verdict] = [[] for _ in subscriptions]
        else:
            self._load()
            told = None if self._copy is None else self._copy.judge(subscriptions)
            found = _judged(subscriptions) if told is None else told
        sound = {key for key, verdict in zip(keys, found, strict=True) if not verdict}
        _SOUND.update(sound)
        if self._kept is not None and sound != self._known:
            self._kept.write(sound)
            self._known = frozenset(sound)
        return found

    def close(self) -> None:
        """The copy is gone."""
        copy, self._copy = self._copy, None
        if copy is not None:
            copy.close()


_SOUND: set[bytes] = set()
"""What has been found to be sound: a reload that changes nothing there needs no judgement, and no library."""


class _Copy:
    """A child that has loaded the library, or is about to."""

    def __init__(self) -> None:
        """Raises OSError."""
        pipes = theirs, self._ask, self._answer, ours = *os.pipe(), *os.pipe()
        try:
            self._pid = os.fork()
        except OSError:
            for pipe in pipes:
                os.close(pipe)
            raise
        if self._pid == 0:
            os.close(self._ask)
            os.close(self._answer)
            _serve(theirs, ours)
        os.close(theirs)
        os.close(ours)

    def judge(self, subscriptions: Sequence[Subscription]) -> list[Verdict] | None:
        """One verdict for each; None if there is none to be had. Once only."""
        until = time.monotonic() + DEADLINE_S
        try:
            self._write(pickle.dumps(list(subscriptions)), until)
            found: list[Verdict] = pickle.loads(self._read(until))  # noqa: S301  # our own child's, from our own pipe
        except Exception:  # noqa: BLE001  # it is stuck, or died of something that we shall see ourselves
            return None
        return found

    def _write(self, asked: bytes, until: float) -> None:
        os.set_blocking(self._ask, False)
        while asked:
            _, ready, _ = select.select([], [self._ask], [], max(0.0, until - time.monotonic()))
            if not ready:
                raise TimeoutError
            asked = asked[os.write(self._ask, asked) :]
        os.close(self._ask)
        self._ask = -1

    def _read(self, until: float) -> bytes:
        told = b""
        while True:
            ready, _, _ = select.select([self._answer], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                raise TimeoutError
            part = os.read(self._answer, 65_536)
            if not part:
                return told
            told += part

    def close(self) -> None:
        """It has answered, or its answer is not wanted any more."""
        if self._ask >= 0:
            os.close(self._ask)
        os.close(self._answer)
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)


def _serve(requests: int, answers: int) -> NoReturn:
    """The child's life. It never returns, as what is above us on the stack is not the child's business."""
    try:
        import bridge.edge.graphql_document  # noqa: F401  # while we wait

        with os.fdopen(requests, "rb") as asked, os.fdopen(answers, "wb") as told:
            pickle.dump(_judged(pickle.load(asked)), told)  # noqa: S301  # our own parent's
    finally:
        os._exit(0)


def _judged(subscriptions: Sequence[Subscription]) -> list[Verdict]:
    # Only who writes GraphQL waits for the library.
    from bridge.edge.graphql_document import problems

    return [[(problem.key, str(problem)) for problem in problems(one)] for one in subscriptions]


def _key(one: Subscription) -> bytes:
    return hashlib.blake2b(repr(one).encode("utf-8", "backslashreplace"), digest_size=SIZE).digest()


def _may_fork() -> bool:
    """Whether a copy of this process would work: it has one thread, and no event loop that the copy would share."""
    return sys.platform == "linux" and threading.active_count() == 1 and not _in_event_loop()


def _in_event_loop() -> bool:
    loops = sys.modules.get("asyncio.events")
    return loops is not None and loops._get_running_loop() is not None
