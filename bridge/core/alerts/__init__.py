"""Alerts as decisions: what an event means to a rule, what is said when, in which words. No clock, no channel."""
