"""Our OCI runtime beside others, judged by the validation suite of opencontainers/runtime-tools."""
