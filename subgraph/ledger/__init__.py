"""The signed, tamper-evident ledger: one RFC 6962 tree per tenant, and one of the deployment."""
