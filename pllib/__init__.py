"""Capture library: the only code of sprov that runs inside a user's process."""
