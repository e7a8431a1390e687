"""Which configuration a command works with."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bridge.core.config import StatusSettings
    from bridge.edge.config.loader import Config

VARIABLE = "BRIDGED_CONFIG"
DEFAULT = "/etc/bridged/bridged.toml"


def path(args: argparse.Namespace) -> Path:
    """`--config`, else `$BRIDGED_CONFIG`, else `/etc/bridged/bridged.toml`."""
    return Path(args.config or os.environ.get(VARIABLE) or DEFAULT)


def load(args: argparse.Namespace, *, vendor_secrets: bool = True, lean: bool = False) -> Config:
    """The configuration; without `vendor_secrets` for commands that speak to NATS alone, `lean` for what stays.

    Raises ConfigErrors, which `main` reports with exit code 78.
    """
    from bridge.edge.config import loader as config

    return config.load(path(args), os.environ, vendor_secrets=vendor_secrets, lean=lean)


def load_status(args: argparse.Namespace) -> StatusSettings:
    """`[status]` alone, for who asks the daemon on this machine. Raises ConfigErrors."""
    from bridge.edge.config import loader as config

    return config.load_status(path(args), os.environ)
