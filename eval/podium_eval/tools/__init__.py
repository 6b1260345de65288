"""What the orchestrator may call: search, enhance_reasoning, answer."""
