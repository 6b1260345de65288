"""The whole Podium chain as processes of one machine: start, wait, run, analyse, stop."""
