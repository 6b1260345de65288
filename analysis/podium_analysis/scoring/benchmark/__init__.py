"""What a benchmark reports beside the accuracy."""
