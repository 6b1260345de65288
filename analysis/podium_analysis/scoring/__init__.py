"""Accuracy, calibration, repeats and agreement of judges."""
