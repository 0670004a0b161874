"""The lifecycle of deprecated schema elements."""
