"""Images of apps with packages of their own, and executors that ``docker run`` adds and removes."""
