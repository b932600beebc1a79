"""The parts that a production OCI runtime needs. Book section 7.3."""
