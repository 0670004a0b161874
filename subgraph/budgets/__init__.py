"""Privacy budgets: what differentially private queries cost, and who may spend it."""
