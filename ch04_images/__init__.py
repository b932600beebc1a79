"""Chapter 4: images. A root file system of its own, and what a container changes in it."""
