"""A site: takes instructions in, has apps executed, delivers replies."""
