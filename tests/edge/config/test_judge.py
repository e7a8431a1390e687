"""Documents are judged in a process of its own, with the same words, and the library does not stay."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from bridge.core.settings import Subscription
from bridge.edge.config import judge as module
from bridge.edge.config import verdicts
from bridge.edge.config.judge import Judge
from bridge.edge.config.verdicts import Verdicts
from tests.support.waiting import wait_until_blocking


def subscription(document: str) -> Subscription:
    return Subscription(name="one", document=document, entity="thing", id="id", fields={"name": "name"})


GOOD = subscription("subscription { changed { id name } }")
BAD = subscription("subscription { changed { id name }")
BEST = subscription("subscription { changed { name id } }")
EMPTY = subscription("subscription { changed { name } }")
SCRIPT = """
import json, os, sys
from bridge.core.settings import Subscription
from bridge.edge.config.judge import Judge
ones = [Subscription(**one) for one in json.loads(sys.stdin.read())]
judge = Judge(apart=True)
judge.begin()
found = judge.judge(ones)
judge.close()
try:
    os.waitpid(-1, os.WNOHANG)
    left = True
except ChildProcessError:
    left = False
again = Judge(apart=True).judge(ones[:1])
print(json.dumps({"found": found, "again": again, "library": "graphql" in sys.modules, "left": left}))
"""


@pytest.fixture(autouse=True)
def _nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SOUND", set())


def test_a_process_that_stays_is_spared_the_library() -> None:
    """The verdicts are those of the library, which only a child has loaded; that child is gone, and nobody's zombie."""
    asked = json.dumps([dataclasses.asdict(one) for one in (GOOD, BAD, EMPTY)])
    done = subprocess.run([sys.executable, "-c", SCRIPT], input=asked, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    here = Judge().judge([GOOD, BAD, EMPTY])
    assert told["found"] == [[list(problem) for problem in verdict] for verdict in here]
    assert [len(verdict) for verdict in here] == [0, 1, 1]
    assert told["again"] == [[]], "what has been found to be sound is sound"
    assert told["library"] == (sys.platform != "linux"), "only there are copies of processes to be trusted"
    assert not told["left"]


def test_with_threads_no_copy_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of a process with threads may hang: then the work is done here, and the verdict is the same."""

    def refused() -> int:
        raise AssertionError("a process with threads was copied")

    monkeypatch.setattr(os, "fork", refused)
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, args=(60,))
    thread.start()
    try:
        judge = Judge(apart=True)
        judge.begin()
        assert judge.judge([EMPTY]) == [[("id", "the document does not ask for changed.id")]]
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("fault", ["dies", "is stuck"])
def test_a_copy_that_gives_no_answer_is_not_needed(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it dies or is stuck: the verdict comes all the same, and the copy is ended."""

    def serve(requests: int, answers: int) -> None:
        if fault == "is stuck":
            os.read(requests, 1)
            threading.Event().wait(600)
        os._exit(1)

    monkeypatch.setattr(module, "_serve", serve)
    monkeypatch.setattr(module, "_may_fork", lambda: True)
    monkeypatch.setattr(module, "DEADLINE_S", 0.5)
    judge = Judge(apart=True)
    judge.begin()
    assert judge._copy is not None
    pid = judge._copy._pid
    try:
        assert judge.judge([EMPTY, GOOD]) == [[("id", "the document does not ask for changed.id")], []]
    finally:
        judge.close()
    wait_until_blocking(lambda: not os.path.exists(f"/proc/{pid}"), 30)


def test_what_was_found_to_be_sound_is_kept_for_the_next_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one judges only what is new, and all of it where the rules or the library are others; nothing unsound is
    kept, nor the words of a document; and a file that is spoilt, foreign or gone costs only time.
    """
    asked: list[list[Subscription]] = []
    judged = module._judged

    def here(ones: Sequence[Subscription]) -> list[module.Verdict]:
        asked.append(list(ones))
        return judged(ones)

    monkeypatch.setattr(module, "_may_fork", lambda: False)
    monkeypatch.setattr(module, "_judged", here)

    def next_process(*ones: Subscription, make: bool = True) -> int:
        """How many had to be judged. The verdicts are right."""
        module._SOUND.clear()
        asked.clear()
        judge = Judge(apart=True, kept=Verdicts(tmp_path / "state", make=make))
        judge.begin()
        assert [bool(verdict) for verdict in judge.judge(ones)] == [one is not GOOD and one is not BEST for one in ones]
        judge.close()
        return sum(map(len, asked))

    assert [next_process(GOOD, make=False), next_process(GOOD, make=False)] == [1, 1], "no folder, and none is made"
    assert [next_process(GOOD), next_process(GOOD)] == [1, 0]
    file = tmp_path / "state" / "judged"
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert b"changed" not in file.read_bytes()
    assert [next_process(GOOD, EMPTY), next_process(GOOD, EMPTY), next_process(GOOD)] == [2, 2, 0]
    assert [next_process(BEST, GOOD), next_process(BEST, GOOD), next_process(BEST)] == [2, 0, 0]
    text = file.read_bytes()
    for spoilt in (b"", b"\xff", text[:-8], text.replace(b".", b".1", 1), b"x" * 10_000_000):
        file.write_bytes(spoilt)
        assert [next_process(BEST), next_process(BEST)] == [1, 0]
    monkeypatch.setattr(verdicts, "_judge", lambda: "another")
    assert [next_process(BEST), next_process(BEST)] == [1, 0]
    file.unlink()
    file.mkdir()
    assert [next_process(BEST), next_process(BEST)] == [1, 1]
    assert [path.name for path in file.parent.iterdir()] == ["judged"]


def test_without_documents_nothing_is_loaded() -> None:
    """Who writes no GraphQL waits for nothing."""
    script = (
        "import sys; from bridge.edge.config.judge import Judge; Judge().judge([]); print('graphql' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "False"
