"""stats.json, section by section."""
