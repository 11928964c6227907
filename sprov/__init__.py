"""The front door: the sprov command."""
