"""Runs the exam: questions, the episode loop, its tools and experts, the judge, the log, the runner."""
