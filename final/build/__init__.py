"""`build`: a Dockerfile becomes an image, step by step, on the engine's own containers."""
