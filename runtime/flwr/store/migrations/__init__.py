"""Schema versions, applied by ``store.engine`` when a store is opened."""
