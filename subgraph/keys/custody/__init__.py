"""The tenants' keys: attached, suspended, rotated, and what they wrap."""
