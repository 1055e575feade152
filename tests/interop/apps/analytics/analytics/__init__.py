"""analytics: a Flower app."""
