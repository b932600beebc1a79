"""Images as the world exchanges them: registries, archives, and a store that finds everything by its digest."""
