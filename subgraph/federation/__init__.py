"""Declarations, access guards, entities and the documents of the federated schema."""
