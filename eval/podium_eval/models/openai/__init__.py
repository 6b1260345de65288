"""One chat model behind an OpenAI-compatible API: requests, attempts, answers and refusals."""
