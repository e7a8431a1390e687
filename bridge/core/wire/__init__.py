"""Wire protocols as state machines: frames in, moves out; no socket, no clock."""
