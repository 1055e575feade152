"""client-side-privacy: a Flower app."""
