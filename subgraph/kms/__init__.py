"""Keys that leave the service to others: one contract, and one connector a provider."""
