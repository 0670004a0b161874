"""Records whose fields are encrypted under their tenant's key."""
