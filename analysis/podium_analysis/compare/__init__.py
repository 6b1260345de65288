"""Two runs compared question by question, and the gate for CI."""
