"""The lessons are tests: every console block of a README is typed and its answer compared, by byexample."""
