"""GraphQL over HTTP, authentication, admission and health."""
