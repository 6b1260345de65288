"""Prices, past usage and estimates."""
