"""The version of what an instance tells of itself."""

VERSION = 1
"""Rises when a key of `bridge.core.report.contract` changes its meaning, or goes."""
