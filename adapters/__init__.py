"""One file per vendor: facts and pure mappings. Imports `bridge.adapter` only; found by its file name."""
