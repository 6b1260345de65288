"""What the run's machine did meanwhile."""
