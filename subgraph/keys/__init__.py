"""Customer-managed keys: envelope encryption, rotation, re-encryption and break-glass."""
