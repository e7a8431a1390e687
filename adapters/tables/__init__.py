"""What the adapters of polled vendors ship: their collections as tables, where these are too many for one file."""
