"""The types and fields of the schema: thin; no SQL, no policy, no cryptography."""
