"""`docs/webhooks.md` shows configurations that can be used, and answers that are given."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bridge.adapter import BaseSettings, WebhookSettings
from bridge.core.hooks.event_table import EventTable
from bridge.core.hooks.settings import HmacTable
from bridge.edge.config.convert import fields_of
from bridge.edge.config.loader import load
from tests.support.certificates import Authority
from tests.support.hook_rig import SECRET

DOCUMENT = (Path(__file__).parent.parent / "docs" / "webhooks.md").read_text("utf-8")
BLOCKS = [
    re.sub(r"^   ", "", block, flags=re.MULTILINE) for block in re.findall(r"```toml\n(.*?)```", DOCUMENT, re.DOTALL)
]
ENVIRON = {"SHOP_SECRET": SECRET, "CODE_SECRET": "c" * 32, "PAY_SECRET": "p" * 32, "MESH_TOKEN": "m" * 32, "HOME": "/"}


@pytest.mark.parametrize("block", BLOCKS)
def test_each_configuration_can_be_used(block: str, tmp_path: Path) -> None:
    """As it stands there, and without a warning but for what the sender itself leaves open."""
    Authority(tmp_path).issue("door", "localhost")
    (tmp_path / "bridged.toml").write_text(block)
    config = load(tmp_path / "bridged.toml", ENVIRON)
    for source in config.sources:
        assert config.adapter(source).hook is not None
    said = [one.key for one in config.warnings if config.sources]
    assert said in ([], ['source["code"].hmac.timestamp_header'])


def test_every_key_is_documented() -> None:
    """Those of the source, of its event tables and of its signatures."""
    keys = [
        *(set(fields_of(WebhookSettings)) - set(fields_of(BaseSettings))),
        *fields_of(EventTable),
        *fields_of(HmacTable),
    ]
    assert [key for key in keys if not re.search(rf"\b{key}\b", DOCUMENT)] == []


def test_all_examples_are_found() -> None:
    """The pattern finds them."""
    assert len(BLOCKS) == 5
