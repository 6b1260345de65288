"""Settings, read once from the environment, .env and options."""
