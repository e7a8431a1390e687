"""The receiver of webhooks under Schemathesis, which makes requests of a description, valid ones and others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import pytest

from tests.interop.packages import FOLDER
from tests.support.live_webhooks import EVENTS, Sender, payments, webhook_daemon
from tests.support.nats_server import nats_server

HERE = FOLDER / "schemathesis"
PLACE = Path(sys.prefix, "schemathesis")
"""Inside of ours, so that it goes when that goes, and is no part of the project."""
INSTALL_S, RUN_S = 300, 400
EXAMPLES = 500
"""Of each operation and media type, at most."""
TOKEN = "a token that only this test knows"
MORE = f"""
[[source]]
name = "desk"
adapter = "webhook"
verify = "bearer"
secrets = [{{ env = "MESH_TOKEN" }}]
{EVENTS}
[[source]]
name = "mesh"
adapter = "webhook"
verify = "bearer"
secrets = [{{ env = "MESH_TOKEN" }}]
content = "cloudevents"
allowed_origins = ["*"]

[[source.event]]
entity = "event"
"""

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(INSTALL_S + RUN_S + 60)]


@pytest.fixture(scope="module")
def schemathesis() -> Path:
    """The program, of the version that `requirements.txt` names, in an environment of its own."""
    program, stamp = PLACE / "bin" / "schemathesis", PLACE / ".installed"
    wanted = (HERE / "requirements.txt").read_text("utf-8")
    if not stamp.is_file() or stamp.read_text("utf-8") != wanted:
        for command in (
            [sys.executable, "-m", "venv", "--clear", str(PLACE)],
            [str(PLACE / "bin" / "python"), "-m", "pip", "install", "-q", "-r", "requirements.txt"],
        ):
            done = subprocess.run(command, cwd=HERE, capture_output=True, timeout=INSTALL_S, check=False)
            if done.returncode:
                pytest.fail(
                    "interop: Schemathesis cannot be installed; is a package index within reach?", pytrace=False
                )
        stamp.write_text(wanted, "utf-8")
    return program


async def test_no_request_is_a_fault_of_the_receiver(
    tmp_path: Path, schemathesis: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No 5xx whatever comes, nothing wrong by the log, and what is signed is taken before and afterwards."""
    monkeypatch.setenv("MESH_TOKEN", TOKEN)
    async with nats_server(tmp_path) as broker:
        daemon, url = webhook_daemon(tmp_path, broker.url)
        config = tmp_path / "daemon.toml"
        config.write_text(config.read_text("utf-8") + MORE, encoding="utf-8")
        command = [
            str(schemathesis), "run", str(HERE / "openapi.json"), "--url", f"http://{urlsplit(url).netloc}",
            "--checks", "not_a_server_error", "--max-examples", str(EXAMPLES), "--seed", "7", "--mode", "all",
            "--header", f"Authorization: Bearer {TOKEN}", "--phases", "coverage,fuzzing", "--no-color",
            "--continue-on-failure",
        ]  # fmt: skip
        try:
            daemon.start()
            await Sender(url).send(payments(1, "before"))
            with anyio.fail_after(RUN_S):
                done = await anyio.run_process(command, cwd=tmp_path, stderr=subprocess.STDOUT, check=False)
            said = done.stdout.decode(errors="replace")
            assert done.returncode == 0, said[-4000:]
            await Sender(url).send(payments(1, "after"))
            wrong = [line for line in daemon.lines() if line["level"] in ("error", "critical")]
        finally:
            daemon.close()
    print(said[-3000:])
    assert wrong == []
