"""PolyProvQueryEngine: ask the provenance store."""
