"""Lists as Docker's users ask for them: `--format table`, `json`, a Go template, or `table` before one."""

from __future__ import annotations

from ch02_namespaces.command_line import Flag
from ch02_namespaces.output import print_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

FORMAT = Flag("-f", "--format", value="TEMPLATE", help="how to print: table, json or a Go template")
LIST_FORMAT = Flag("--format", value="TEMPLATE", help="how to print: table, json or a Go template")
GAP = 3  # spaces between columns
JSON = "{{json .}}"


class Labels(str):
    """Labels as lists print them, by name: a=b,c=d. known: what a template asks for with {{.Label "a"}}."""

    known: Mapping[str, str]

    def __new__(cls, known: Mapping[str, str]) -> Labels:
        made = super().__new__(cls, ",".join(f"{name}={value}" for name, value in sorted(known.items())))
        made.known = known
        return made


def print_rows(
    rows: Sequence[Mapping[str, Any]], headers: Mapping[str, str], columns: Sequence[str], format: str | None = None
) -> None:
    """Print a list. headers: by field, as templates call it, what stands above its column; columns: what a table has if
    nobody says otherwise. Raises EngineError for a template that is none."""
    if not format or format == "table":
        shown = [{headers[name].lower(): row[name] for name in columns} for row in rows]
        print_table(shown) if rows else print(_aligned([[headers[name] for name in columns]]))
    elif format == "json":
        _print_by_template(rows, headers, JSON)
    else:
        _print_by_template(rows, headers, format)


def print_one(found: Mapping[str, Any], format: str) -> int:
    """Print one thing as JSON or by a Go template; 0, the exit code. Raises EngineError for a template that is none."""
    from final.template import render

    print(render(JSON if format == "json" else format, found))
    return 0


def _print_by_template(rows: Sequence[Mapping[str, Any]], headers: Mapping[str, str], format: str) -> None:
    from final.template import compile_template

    is_table = format.startswith("table")
    text = (format.removeprefix("table").strip(" ") if is_table else format).replace("\\t", "\t").replace("\\n", "\n")
    write = compile_template(text)
    lines = [write(row) for row in rows]
    if is_table:
        print(_aligned([line.split("\t") for line in [write(headers), *lines]]))
    else:
        for line in lines:
            print(line)


def _aligned(lines: list[list[str]]) -> str:
    widths: dict[int, int] = {}
    for line in lines:
        for number, cell in enumerate(line[:-1]):
            widths[number] = max(widths.get(number, 0), len(cell) + GAP)
    return "\n".join("".join(cell.ljust(widths.get(n, 0)) for n, cell in enumerate(line)).rstrip() for line in lines)


def without_controls(text: str) -> str:
    """A JSON document without what a terminal would obey: JSON escapes the controls of ASCII alone. Nor with bytes that
    are no text, which Python keeps as surrogates (PEP 383)."""
    return "".join(f"\\u{ord(one):04x}" if _is_to_escape(one) else one for one in text)


def _is_to_escape(letter: str) -> bool:
    return "\x7f" <= letter <= "\x9f" or "\ud800" <= letter <= "\udfff"
