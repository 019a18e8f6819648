"""Consumers that are not ours: independent implementations of what we publish."""
