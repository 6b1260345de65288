"""Runs read as they grow: the log by offset, samples, task records."""
