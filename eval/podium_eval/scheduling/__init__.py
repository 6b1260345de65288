"""Who may take a turn at the orchestrator now, and at which replica; a model of serving to try orders on."""
