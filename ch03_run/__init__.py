"""Chapter 3: a container: the loop, its first parts, and `run`."""
