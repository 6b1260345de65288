"""Metrics, their summaries, percentiles, histograms and intervals."""
