"""One file per vendor: facts and pure mappings, found by its file name. Imports `bridge.adapter` and `tables` only."""
