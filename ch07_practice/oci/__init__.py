"""Our own runC: an OCI runtime on the chapters' parts. Book sections 7.3 and 7.4."""
