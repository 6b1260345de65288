"""The report: one HTML page and the summary on the terminal."""
