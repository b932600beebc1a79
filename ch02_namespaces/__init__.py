"""Chapter 2: the kernel's three building blocks: namespaces, cgroups, union file systems."""
