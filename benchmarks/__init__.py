"""Compares the service with bare ASGI and with Strawberry as it comes; see docs/performance.md."""
