"""Webhooks as data: who sent a request, what it tells, and what it is answered. No socket, no clock."""
