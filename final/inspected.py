"""What every `inspect` does: describe things by their names, as JSON or by a template."""

from __future__ import annotations

from ch04_images.image_commands import for_each
from final.output import without_controls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def inspect_each(operands: list[str], describe: Callable[[str], dict[str, Any]], format: str | None) -> int:
    """Print what is known of each. What is found is shown, also if something else is not. Raises EngineError."""
    found: list[dict[str, Any]] = []
    try:
        for_each(operands, lambda text: found.append(describe(text)))
    finally:
        _print(found, format)
    return 0


def _print(found: list[dict[str, Any]], format: str | None) -> None:
    """A list in JSON, or a line each by a template. Raises EngineError."""
    import json

    from final.template import compile_template

    if format and format != "json":
        write = compile_template(format)
        for one in found:
            print(write(one))
    else:
        form: dict[str, Any] = {"separators": (",", ":")} if format else {"indent": 4}
        print(without_controls(json.dumps(found, ensure_ascii=False, **form)))
