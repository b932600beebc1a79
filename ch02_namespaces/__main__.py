from ch02_namespaces.cli import entry_point

entry_point()
