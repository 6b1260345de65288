"""What every part does with texts of unknown origin: half surrogate pairs, and a question as a fingerprint."""
