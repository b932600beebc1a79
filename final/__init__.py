"""The engine for production: the last increment."""
