"""A run's events as OpenTelemetry traces: one mapping for eval, while it runs, and for analysis, afterwards."""
