"""`bridged health`: what the daemon on this machine answers, as an exit code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from bridge.cli.exits import Exit
from bridge.cli.main import main
from tests.support.nats_server import free_port


@contextmanager
def played(status: int, text: str) -> Iterator[tuple[int, list[str]]]:
    """Whoever answers in the daemon's place: the port, and what was asked."""
    asked: list[str] = []

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Nothing is written to stderr."""

    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port, asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def asked(folder: Path, table: str, *arguments: str) -> int:
    """The exit code."""
    (folder / "bridged.toml").write_text(f"[status]\n{table}\n", "utf-8")
    return main(["health", "--config", str(folder / "bridged.toml"), *arguments])


@pytest.mark.parametrize(("status", "code"), [(200, Exit.OK), (503, Exit.FAILED)])
@pytest.mark.parametrize("listen", ["127.0.0.1", "0.0.0.0"])
def test_the_status_is_the_exit_code(
    status: int,
    code: Exit,
    listen: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the daemon says of each condition is shown; who listens everywhere is asked on loopback."""
    monkeypatch.setenv("STATUS_TOKEN", "a-token-that-is-long-enough")
    with played(status, "[+]nats ok\n[-]status failed: \x1b[31mtaken\n") as (port, paths):
        table = f'listen = "{listen}:{port}"\ntoken = {{ env = "STATUS_TOKEN" }}'
        assert asked(tmp_path, table) == code
    assert paths == ["/readyz?verbose"]
    shown = capsys.readouterr().out
    assert "[+]nats ok\n[-]status failed: " in shown
    assert "\x1b" not in shown


def test_alive_is_another_question(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--live` asks whether to restart it; as JSON for programs."""
    with played(200, "[+]loop ok\n") as (port, paths):
        assert asked(tmp_path, f'listen = "127.0.0.1:{port}"', "--live", "--json") == Exit.OK
    assert paths == ["/livez?verbose"]
    assert json.loads(capsys.readouterr().out) == {"ok": True, "status": 200, "conditions": ["[+]loop ok"]}


def test_nobody_there_is_no_health(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A sentence that says whom it asked, and another exit code than a daemon that is not ready."""
    port = free_port()
    assert asked(tmp_path, f'listen = "127.0.0.1:{port}"') == Exit.UNAVAILABLE
    assert f"nobody answers at 127.0.0.1:{port}" in capsys.readouterr().err


@pytest.mark.parametrize("mistake", ['[[source]]\nname = "x"\nadapter = "nonsense"', "[ingress]\nlisten = 7"])
def test_a_mistake_elsewhere_in_the_file_is_no_illness(
    mistake: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A daemon that goes on with its old configuration is well: who looks after containers must not end it."""
    with played(200, "readyz check passed\n") as (port, _):
        assert asked(tmp_path, f'listen = "127.0.0.1:{port}"\n{mistake}') == Exit.OK
        assert asked(tmp_path, f"listen = 7\n{mistake}") == Exit.CONFIG
    assert "status.listen" in capsys.readouterr().err


@pytest.mark.parametrize("table", ["enabled = false", 'listen = "127.0.0.1:0"'])
def test_a_daemon_that_cannot_be_asked(table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Switched off, or at a port that only it knows: that is for the configuration to change."""
    assert asked(tmp_path, table) == Exit.CONFIG
    assert "give it an address in the configuration" in capsys.readouterr().err
