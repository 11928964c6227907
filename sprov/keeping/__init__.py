"""What a project keeps and for how long: archives, what is forgotten, what may be freed."""
