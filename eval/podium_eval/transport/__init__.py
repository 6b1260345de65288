"""How calls travel: connections, retries, circuit breakers, concurrency limits, load balancing."""
