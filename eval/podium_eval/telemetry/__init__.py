"""What a run shows of itself to other programs while it runs: GPUs, traces, metrics."""
