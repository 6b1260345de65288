"""A run: planned, built, scheduled, recorded in its folder, and taken up again."""
