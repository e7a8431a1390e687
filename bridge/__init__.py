"""`bridged`: vendor events into NATS JetStream, each exactly once.

Layers, lowest first: `core` decides, `engine` runs, `edge` touches, `adapters` are facts, `cli` puts
them together. `tests/test_layers.py` holds the table of who may import whom.
"""

__version__ = "0.1.0"
