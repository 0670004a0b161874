"""Data keys in memory: for how long, and how their owner takes them back."""
