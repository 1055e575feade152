"""named-actions: a Flower app."""
