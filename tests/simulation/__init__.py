"""Simulations as processes: who they are, what they hold open, what they leave behind."""
