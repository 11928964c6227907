"""`sprov import`: what others recorded comes in through a log, as all provenance does."""
