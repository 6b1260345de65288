"""vLLM for Podium: settings to flags, a health check, and the embedded default model. Standard library at import."""
