"""The NATS connection, and JetStream's API over it. Knows nothing of events."""
