"""One task: ask the orchestrator, act, record, stop."""
