"""Real Slurm on virtual nodes of this machine, and what tests do with it."""
