"""The full engine: a bundle for each container, run by final.runtime's parts; storage and network are the chapters'."""
