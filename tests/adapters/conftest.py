"""Property tests here are the same on every run and every machine, and no single example has a deadline."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("bridged", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("bridged")
