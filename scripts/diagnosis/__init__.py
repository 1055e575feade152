"""What `make doctor` looks at: host, settings, trust, deployment; standard library only."""
