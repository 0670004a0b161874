"""Operations: documents, limits, cost, execution."""
