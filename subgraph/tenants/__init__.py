"""Tenants, regions and data sets."""
