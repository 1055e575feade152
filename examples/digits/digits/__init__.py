"""digits: a federated app."""
