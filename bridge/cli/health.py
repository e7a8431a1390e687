"""`bridged health`: whether the daemon on this machine is ready, or only alive. For health checks of containers."""

from __future__ import annotations

import argparse
import http.client

from bridge.cli import configuration, output
from bridge.cli.exits import Exit
from bridge.cli.plain import plain
from bridge.core.config import STATUS_LISTEN
from bridge.edge.ingress.sockets import address

PATIENCE_S = 3.0
"""For the answer. It needs no vendor and no NATS."""
MOST = 64 * 1024
"""Bytes of an answer that are read."""
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - whoever listens everywhere listens here, too


def configure(parser: argparse.ArgumentParser) -> None:
    """`bridged health [--live]`."""
    parser.add_argument(
        "--live", action="store_true", help="whether it is alive, and not whether it is ready: a reason to restart it"
    )


def run(args: argparse.Namespace) -> int:
    """Print each condition: 0 when all hold, 1 when one does not, 69 when nobody answers. Raises ConfigErrors."""
    settings = configuration.load_status(args)
    listen = settings.listen or STATUS_LISTEN
    host, port = address(listen)
    if not settings.enabled or not port:
        what = "port 0 of [status] listen is any free one" if settings.enabled else "[status] enabled is false"
        output.complain(f"bridged: nobody can be asked: {what}; give it an address in the configuration")
        return Exit.CONFIG
    path = "/livez" if args.live else "/readyz"
    asked = http.client.HTTPConnection(_ANY.get(host, host), port, timeout=PATIENCE_S)
    try:
        asked.request("GET", f"{path}?verbose", headers={"Host": "localhost"})
        answer = asked.getresponse()
        status, text = answer.status, answer.read(MOST).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        output.complain(
            f"bridged: nobody answers at {listen} ({plain(str(error) or type(error).__name__)}): is `bridged run` "
            "running on this machine, with this configuration?"
        )
        return Exit.UNAVAILABLE
    finally:
        asked.close()
    lines = [plain(line) for line in text.splitlines()]
    if args.json:
        output.emit({"ok": status == 200, "status": status, "conditions": lines})
    else:
        for line in lines:
            output.say(line)
    return Exit.OK if status == 200 else Exit.FAILED
