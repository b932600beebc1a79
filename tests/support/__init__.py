"""What the tests stand on: isolated hosts, the engine of each chapter, terminals, the leak check."""
