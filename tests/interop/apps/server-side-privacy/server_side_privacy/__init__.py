"""server-side-privacy: a Flower app."""
