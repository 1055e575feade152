"""What the overlays change is still a federation that completes runs."""
