"""Runs written in other tools' formats: Chrome traces and inspect_ai logs."""
