"""logistic-regression: a federated app."""
