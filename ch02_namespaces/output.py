"""Tables: drawn by rich on a terminal, plain columns in a pipe, JSON where asked for."""

from __future__ import annotations

import sys

from ch02_namespaces.command_line import Flag
from ch02_namespaces.errors import EngineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def format_name(text: str) -> str:
    """For Flag.convert. Raises EngineError."""
    if text not in ("table", "json"):
        raise EngineError(text, "it is neither table nor json")
    return text


WIDEST = 10_000  # columns: as wide as anybody wants a table
FORMAT = Flag("--format", value="table|json", convert=format_name, help="how to print (default: table)")


def print_table(
    rows: Sequence[Mapping[str, object]],
    format: str | None = None,
    colours: Mapping[str, Mapping[str, str]] | None = None,
    prose: bool = False,
) -> None:
    """Print rows that all have the same keys. JSON: an object a line. colours: by column and value, on a terminal.
    prose: its cells may be broken into lines; else a terminal that is too narrow for a table gets plain columns."""
    if format == "json":
        import json  # 6 ms, which `run` does not have

        for row in rows:
            print(json.dumps(row))
    elif sys.stdout is not None and sys.stdout.isatty():
        _print_rich(rows, colours or {}, prose)
    else:
        _print_plain(rows)


def _print_rich(rows: Sequence[Mapping[str, object]], colours: Mapping[str, Mapping[str, str]], prose: bool) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table, console = Table(), Console()
    for name in rows[0] if rows else ():
        table.add_column(name, overflow="fold")
    for row in rows:
        cells = ((str(value), colours.get(name, {}).get(str(value), "")) for name, value in row.items())
        table.add_row(*(Text(text, style) for text, style in cells))
    if prose or console.measure(table, options=console.options.update(max_width=WIDEST)).maximum <= console.width:
        console.print(table)
    else:
        _print_plain(rows)


def _print_plain(rows: Sequence[Mapping[str, object]]) -> None:
    if not rows:
        return
    lines = [[name.upper() for name in rows[0]], *([str(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
