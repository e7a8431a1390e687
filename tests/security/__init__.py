"""The security review, as tests: each line of docs/security.md is proved against the real thing."""
