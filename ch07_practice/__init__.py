"""Book chapter 7: real work."""
