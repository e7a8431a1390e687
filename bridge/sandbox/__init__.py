"""Plays a vendor: one small honest server per vendor, for the demo and the tests."""
