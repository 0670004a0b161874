"""Manifests, client documents and hints, as data."""
