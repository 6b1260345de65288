"""Acts on a run that is on: pause, resume, other limits, one task cancelled. Through a socket in the run's folder."""
