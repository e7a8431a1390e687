"""A private nats-server as a supervised child."""
