"""__APP_NAME__: a federated app."""
