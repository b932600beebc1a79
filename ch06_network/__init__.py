"""Book chapter 6: networks. Containers that talk, on one host and across hosts."""
