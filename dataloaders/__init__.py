"""Batched, tenant-bound reads, one module an entity."""
