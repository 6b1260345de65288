"""Whole runs of podium-eval as real processes against loopback servers, and what must hold of them afterwards."""
