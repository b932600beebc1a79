"""`python3 -m final.images`: the commands for images."""

from __future__ import annotations

from final.images.cli import entry_point

entry_point()
