"""What every call passes before its servicer: log, errors, proof, policy."""
