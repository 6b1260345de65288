"""What a run writes while it runs: events, progress, samples; secrets redacted."""
