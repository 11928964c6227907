"""Everything that knows what Slurm is."""
