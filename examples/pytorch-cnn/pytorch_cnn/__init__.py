"""pytorch-cnn: a federated app."""
