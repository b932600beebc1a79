"""Speed, measured beside a peer in the same run: `make bench`. Results go to build/bench/ as JSON, too."""
