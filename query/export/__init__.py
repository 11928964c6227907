"""A run as others read it: Turtle, N-Quads, PROV-JSON, PROV-N and RO-Crate."""
