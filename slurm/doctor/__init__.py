"""`sprov slurm doctor`: what a site is like, and what to do about it before a first job."""
