"""federated-analytics: a federated app."""
