"""sklearn-mlp: a federated app."""
