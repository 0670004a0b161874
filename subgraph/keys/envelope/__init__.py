"""The format in which values are encrypted: docs/envelope-format.md."""
