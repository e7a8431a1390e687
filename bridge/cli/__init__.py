"""The command line: puts core, engine, edge and adapters together, and speaks to people."""
