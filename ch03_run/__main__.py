from ch03_run.cli import entry_point

entry_point()
