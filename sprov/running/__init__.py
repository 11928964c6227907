"""`sprov run`: a command that nobody edits, with its provenance."""
