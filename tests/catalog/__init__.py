"""A study of real programs, and answers to named queries computed outside the graph."""
