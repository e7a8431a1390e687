"""A public recording that played devices measure: how warm the Pacific's surface was, from 1950 to 2015.

`pywt.data.nino()` of the package PyWavelets (MIT licence): temperature of the region NINO 3 in degrees Celsius as
deviation from the mean, four values a year, of the dataset ERSSTv4 of the US National Oceanic and Atmospheric
Administration. The data are in the public domain.
"""

from __future__ import annotations

import importlib.util
from typing import Final

SOURCE: Final = "sea surface temperatures (NOAA ERSSTv4 NINO 3, public domain, shipped in PyWavelets under MIT)"
MISSING: Final = "the played devices measure generated values; for a public recording: pip install 'bridged[demo]'"


def available() -> bool:
    """Whether the recording is installed."""
    return importlib.util.find_spec("pywt") is not None


def nino() -> tuple[float, ...]:
    """The recording's values in their order. Raises ModuleNotFoundError without the extra `demo`."""
    import pywt.data  # type: ignore[import-untyped]

    _, values = pywt.data.nino()
    return tuple(round(float(value), 3) for value in values)
