"""The governance subgraph: keys, budgets, proofs and the ledger of a multi-tenant SaaS."""
