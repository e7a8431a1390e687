"""What `bridged tail` does not show: telemetry and live subjects, and how to see them all the same."""

from __future__ import annotations

import re
from collections import defaultdict

from bridge.adapter import Secret, Token
from bridge.core.subject import LIVE, TELEMETRY, token
from bridge.edge.config.loader import Config

ALL = f"nats sub '{TELEMETRY.live}.>'"
"""The command that shows all telemetry as it is stored."""

TOKENS = 5
"""Of a subject behind its prefix: vendor, source, entity, change, id."""

_REST = re.compile(r"([A-Za-z0-9_=-]+|\*)(\.([A-Za-z0-9_=-]+|\*))*(\.>)?|>")


def elsewhere(text: str) -> str:
    """Why no event can match a filter on telemetry or live subjects, and what shows them; "" for every other filter."""
    for prefix in (TELEMETRY.live, TELEMETRY.events):
        if text == prefix or text.startswith(f"{prefix}."):
            rest = _rest(text, prefix)
            return (
                "telemetry has a stream of its own, and tail reads that of events; "
                f"nats sub '{TELEMETRY.live}.{rest}' shows what is stored from now on"
            )
    if text == LIVE or text.startswith(f"{LIVE}."):
        rest = _rest(text, LIVE)
        ours = rest if rest == ">" else rest.removesuffix(".>")
        return (
            f"live subjects repeat events as they are stored: bridged tail '{ours}' shows those, "
            f"nats sub '{LIVE}.{rest}' the subjects themselves"
        )
    return ""


def telemetry_hint(subjects: str, config: Config) -> str:
    """A sentence where the filter names an entity that a configured source publishes as telemetry; else "".

    `subjects` as `pattern` makes it. An entity left open (`*`, or not named at all) is no reason for one.
    """
    wanted = [*subjects.split(".")[1:], ">"]
    if len(wanted) < 4 or ">" in wanted[:3]:
        return ""
    for settings in config.sources:
        adapter = config.adapter(settings)
        if wanted[0] not in ("*", token(adapter.vendor)) or wanted[1] not in ("*", token(settings.name)):
            continue
        try:
            walks = adapter.walks(Token(Secret(""), facts=defaultdict(str)))
        except (LookupError, ValueError, TypeError):
            continue  # only the vendor's login could tell
        for walk in walks:
            if walk.telemetry and token(walk.entity) == wanted[2]:
                subject = f"{TELEMETRY.live}.{token(adapter.vendor)}.{token(settings.name)}.{wanted[2]}.>"
                what = f"{walk.entity} of {settings.name} is telemetry"
                return f"{what}, which tail does not show: nats sub '{subject}' does"
    return ""


def _rest(text: str, prefix: str) -> str:
    """What follows the prefix, as a filter for the same subjects; `>` where it could be none."""
    rest = text[len(prefix) + 1 :] or ">"
    if not _REST.fullmatch(rest) or rest.removesuffix(".>").count(".") >= TOKENS:
        return ">"
    return rest if rest.endswith(">") or rest.count(".") == TOKENS - 1 else f"{rest}.>"
