"""Receive, journal, link and hand on provenance: the daemon on the dedicated node."""
