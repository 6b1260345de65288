"""Benchmarks: what each dataset's rows hold, how its answers are graded, what it reports."""
