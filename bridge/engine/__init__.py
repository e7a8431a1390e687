"""Runs: anyio, `core` and structlog. Everything else it needs comes through `ports`."""
