"""Decides: synchronous, standard library only; no clock, no randomness, no I/O."""
