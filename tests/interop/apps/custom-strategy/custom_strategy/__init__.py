"""custom-strategy: a Flower app."""
