"""Rotation, rewrapping and re-encryption in the background."""
