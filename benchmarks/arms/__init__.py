"""The applications that are compared; each runs in a server process of its own."""
