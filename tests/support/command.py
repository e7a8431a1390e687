"""Commands of the program run to their end, and the configuration they read: one pcvisit source.

`tests.support.program` has what goes on running: daemons and played vendors.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from tests.support.program import Child, PlayedVendor

SOURCE = "acme"


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its stdout, which must be one JSON value."""
        return json.loads(self.out)


HURRY = """
import sys
from bridge.cli import visit
from bridge.cli.main import main
visit.GIVE_UP_AFTER_S = 1.0
sys.exit(main())
"""


async def bridged(
    *arguments: str, environ: Mapping[str, str] | None = None, deadline_s: float = 150, hurry: bool = False
) -> Done:
    """`bridged ARGUMENTS`, in a process of its own, while this event loop goes on.

    `hurry`: it gives a NATS that cannot be reached up after a second.
    """
    command = [sys.executable, *(["-c", HURRY] if hurry else ["-m", "bridge.cli.main"]), *arguments]
    with anyio.fail_after(deadline_s):
        done = await anyio.run_process(
            command, stdin=subprocess.DEVNULL, check=False, env={**os.environ, **(environ or {})}
        )
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


class Setup:
    """A configuration file in `folder`, and the environment that holds its secrets.

    `nats`: the keys of `[nats]`, as TOML; `status`: those of `[status]`, which by default is not served, since many
    daemons run side by side here; `source`: further keys of the source, as Python values.
    """

    def __init__(
        self,
        folder: Path,
        vendor: PlayedVendor | None = None,
        *,
        nats: str,
        name: str = "b",
        status: str = "enabled = false",
        **source: Any,
    ):
        self.folder = folder
        self.path = folder / f"{name}.toml"
        self.state_dir = folder / f"state-{name}"
        self.environ = {"IT": "no-integrator-token", "UT": "no-user-token"}
        keys = {
            "name": SOURCE,
            "adapter": "pcvisit",
            "http_url": "http://127.0.0.1:9/graphql",
            "requests_per_minute": 1_000_000,
            "history_fast_every_s": 1.0,
        }
        if vendor is not None:
            keys["http_url"] = vendor.facts["url"]
            self.environ["IT"], self.environ["UT"] = vendor.secrets
            keys["companies"] = vendor.facts["companies"]
        self.text = "\n".join(
            [
                "[nats]",
                nats,
                "[status]",
                status,
                "[daemon]",
                f"state_dir = {json.dumps(str(self.state_dir))}",
                'log_format = "json"',
                "[[source]]",
                *(f"{key} = {json.dumps(value)}" for key, value in {**keys, **source}.items()),
                'integrator_token = { env = "IT" }',
                'user_token = { env = "UT" }',
                "",
            ]
        )
        self.write()

    def write(self, more: str = "") -> None:
        """Write the file, with `more` at its end."""
        self.path.write_text(self.text + more, encoding="utf-8")

    async def run(
        self, *arguments: str, environ: Mapping[str, str] | None = None, deadline_s: float = 150, hurry: bool = False
    ) -> Done:
        """One command with this configuration; see `bridged`."""
        given = {**self.environ, **(environ or {})}
        return await bridged(*arguments, "--config", str(self.path), environ=given, deadline_s=deadline_s, hurry=hurry)

    def daemon(self, name: str = "daemon", **environ: str) -> Child:
        """`bridged run` with this configuration, not started."""
        return Child(self.folder, name, ["run", "--config", str(self.path)], {**self.environ, **environ})
