"""W3C trace context, version 00: the text that names a trace and the step in it. Pure: randomness is handed in.

https://www.w3.org/TR/trace-context/#traceparent-header and, for `ce-traceparent`, the CloudEvents extension
"Distributed Tracing". It begins a trace where the vendor sent none, and passes on unchanged what it was sent; what
spans there are of it, where somebody wants them, `bridge/core/span.py` says.
"""

from __future__ import annotations

import re

BYTES = 24
"""So many random bytes name a trace and its first step."""

_WHOLE = re.compile(r"(?P<version>[0-9a-f]{2})-(?P<ids>(?P<trace>[0-9a-f]{32})-(?P<step>[0-9a-f]{16}))-([0-9a-f]{2})")
_LENGTH = 55
_SAMPLED = 0x01


def begin(random: bytes) -> str:
    """The `traceparent` of a trace that begins here. `random`: `BYTES` of them, not all alike.

    It says "sampled": nobody decided against recording it, and consumers' libraries follow what they find here.
    """
    if len(random) != BYTES:
        raise ValueError(f"a trace is named by {BYTES} bytes, not by {len(random)}")
    text = random.hex()
    return f"00-{text[:32]}-{text[32:]}-01"


def parse(text: str | None) -> str | None:
    """The `traceparent` to go on with, of one that was received; None where it is missing or invalid.

    What a later version of the specification wrote is taken for what version 00 knows of it, as section 4.3 says.
    """
    if text is None:
        return None
    text = text.strip(" \t")
    found = _WHOLE.match(text)
    if found is None or found["version"] == "ff" or not int(found["trace"], 16) or not int(found["step"], 16):
        return None
    if found["version"] == "00":
        return text if len(text) == _LENGTH else None
    if len(text) > _LENGTH and text[_LENGTH] != "-":
        return None
    return f"00-{found['ids']}-{int(found[5], 16) & _SAMPLED:02x}"
