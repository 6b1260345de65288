"""Chat models: requests, responses, errors, tokens and providers."""
