"""Adapters for the tests of configuration and discovery, found through `$BRIDGED_ADAPTERS`."""
