"""Touches: one foreign library per file; nothing foreign gets past it."""
