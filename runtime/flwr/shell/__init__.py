"""What every program shares at its edge: settings, logs, signals, children, exit codes."""
