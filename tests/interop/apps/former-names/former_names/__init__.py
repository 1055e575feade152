"""former-names: a Flower app."""
