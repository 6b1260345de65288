"""Figures, drawn from statistics in processes of their own."""
