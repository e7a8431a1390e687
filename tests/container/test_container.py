"""The image as an orchestrator runs it: a real engine, a read-only root, no capability, and the daemon as process 1."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.container.engine import Engine, NoEngine, find
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.container, pytest.mark.anyio]

STRICT = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--tmpfs", "/tmp")
DEADLINE_S = 60.0
CONFIGURATION = """
[status]
listen = "127.0.0.1:{port}"
"""


@pytest.fixture(scope="module")
def engine() -> Engine:
    try:
        return find()
    except NoEngine as error:
        if os.environ.get("BRIDGED_CONTAINER") == "required":
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def image(engine: Engine) -> str:
    return engine.image()


class Container:
    """A daemon in a container of this name."""

    def __init__(self, engine: Engine, name: str) -> None:
        self.engine = engine
        self.name = name

    def inside(self, *command: str, check: bool = True) -> str:
        """What a command that is run in it says."""
        return self.engine.do("exec", self.name, *command, check=check)

    @property
    def ready(self) -> bool:
        return "readyz check passed" in self.inside("bridged", "health", check=False)

    @property
    def running(self) -> bool:
        return self._state()["Running"] is True

    @property
    def code(self) -> object:
        return self._state()["ExitCode"]

    def _state(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.engine.do("inspect", self.name))[0]["State"]
        return found

    def said(self) -> list[dict[str, object]]:
        """What it has logged."""
        lines = self.engine.do("logs", self.name, check=False).splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def events(self) -> list[object]:
        return [line["event"] for line in self.said()]


@contextmanager
def started(engine: Engine, image: str, folder: Path) -> Iterator[Container]:
    """A daemon with an embedded NATS, its store in a volume."""
    name = f"bridged-{uuid.uuid4().hex[:8]}"
    try:
        engine.do(
            "run", "--detach", "--name", name, "--network", "host", *engine.run, *STRICT,
            "--volume", f"{folder}/bridged.toml:/etc/bridged/bridged.toml:ro",
            "--volume", f"{name}:/var/lib/bridged", image,
        )  # fmt: skip
        yield Container(engine, name)
    finally:
        engine.do("rm", "--force", name, check=False)
        engine.do("volume", "rm", "--force", name, check=False)


@pytest.fixture
def folder(tmp_path: Path, free_port: int) -> Path:
    file = tmp_path / "bridged.toml"
    file.write_text(CONFIGURATION.format(port=free_port), "utf-8")
    file.chmod(0o644)
    tmp_path.chmod(0o755)
    return tmp_path


@pytest.fixture
def free_port() -> int:
    from tests.support.nats_server import free_port as found

    return found()


def test_the_image_is_made_for_strangers(engine: Engine, image: str) -> None:
    """It names a numeric user that is not root, a volume for its state, a health check, and how it is stopped."""
    found = engine.inspect(image)
    assert found["User"] == "65532:65532"
    assert found["Volumes"] == {"/var/lib/bridged": {}}
    assert found["Entrypoint"] == ["bridged"]
    size = int(json.loads(engine.do("image", "inspect", image))[0]["Size"])
    print(f"{size / 1e6:.0f} MB")


async def test_it_runs_where_nothing_can_be_written(engine: Engine, image: str, folder: Path) -> None:
    """With a read-only root, without any capability: ready, healthy, a server of its own as child, nothing as root."""
    with started(engine, image, folder) as container:
        await wait_until(lambda: container.ready, DEADLINE_S, f"readiness:\n{container.said()}")
        script = "import os; print(sorted({os.stat(f'/proc/{p}').st_uid for p in os.listdir('/proc') if p.isdigit()}))"
        assert container.inside("python", "-c", script).strip() == "[65532]"
        assert "livez check passed" in container.inside("bridged", "health", "--live")
        report = json.loads(container.inside("bridged", "status", "--json"))
        assert report["ok"] is True
        assert "Read-only" in container.inside("python", "-c", "open('/opt/bridged/x', 'w')", check=False)


async def test_process_1_takes_signals_and_leaves_nobody_behind(engine: Engine, image: str, folder: Path) -> None:
    """SIGHUP loads the configuration anew, SIGTERM ends everything in order, within the grace that Docker gives."""
    with started(engine, image, folder) as container:
        await wait_until(lambda: container.ready, DEADLINE_S, f"readiness:\n{container.said()}")
        engine.do("kill", "--signal", "HUP", container.name)
        await wait_until(
            lambda: any(str(event).startswith("reload.") for event in container.events()), DEADLINE_S, "a reload"
        )
        begun = time.monotonic()
        engine.do("stop", "--time", "10", container.name)
        assert time.monotonic() - begun < 10
        assert container.code == 0
        assert container.events()[-1] == "bridged.stopped"


async def test_what_was_stored_is_there_after_a_restart(engine: Engine, image: str, folder: Path) -> None:
    """The volume keeps the stream: the next life finds it, and opens no other."""
    with started(engine, image, folder) as container:
        await wait_until(lambda: container.ready, DEADLINE_S, f"readiness:\n{container.said()}")
        script = "import json,pathlib; print(sorted(p.name for p in pathlib.Path('/var/lib/bridged').iterdir()))"
        before = container.inside("python", "-c", script)
        engine.do("kill", container.name)
        engine.do("start", container.name)
        await wait_until(lambda: container.ready, DEADLINE_S, f"readiness:\n{container.said()}")
        assert container.inside("python", "-c", script) == before
