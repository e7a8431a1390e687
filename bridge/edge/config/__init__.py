"""The configuration file: every mistake at its line, secrets by reference, the JSON Schema."""
