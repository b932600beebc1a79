"""Two containers on one network: flask counts requests, redis remembers. Book section 7.2."""
