"""Go templates, as `--format` takes them: {{.Names}}, {{json .}}, {{range .Mounts}}{{.Source}} {{end}}.

Source: the documentation of Go's package text/template, and Docker's of its functions ("Format command output").
What a template can say is read once into a list of nodes; a node writes what it has to say about a value.
"""

from __future__ import annotations

import json
import re

from final.template_functions import CONSTANTS, FUNCTIONS, METHODS, call, shown, truth, wrong

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Scope = dict[str, Any]
    Node = Callable[[Scope], str]
    Expression = Callable[[Scope], Any]

ACTION = re.compile(
    r"(\s*)\{\{(-(?=\s))?(/\*.*?\*/|(?:\"(?:[^\"\\]|\\.)*\"|`[^`]*`|[^\"`])*?)((?<=\s)-)?\}\}", re.DOTALL
)
TOKEN = re.compile(
    r"""\s*(?: (?P<string>"(?:[^"\\]|\\.)*"|`[^`]*`) | (?P<number>-?\d+(?:\.\d+)?)
        | (?P<variable>\$\w*(?:\.\w+)*) | (?P<field>\.\w+(?:\.\w+)*|\.) | (?P<word>\w+) | (?P<mark>:=|[|(),=]))""",
    re.VERBOSE,
)
OPENERS = ("if", "range", "with")
LONGEST = 1 << 16


def render(template: str, value: Any) -> str:
    """What a template makes of a value: mappings, lists, strings, numbers, booleans and None. Raises EngineError."""
    return compile_template(template)(value)


def compile_template(template: str) -> Callable[[Any], str]:
    """The same, for many values. Raises EngineError for a template that is none."""
    if len(template) > LONGEST:
        raise wrong("it is too long")
    reader = _Reader(list(_pieces(template)))
    nodes, ended_by = reader.nodes()
    if ended_by:
        raise wrong(f"{{{{{ended_by}}}}} without a beginning")
    return lambda value: _all(nodes, {".": value, "$": value})


def _pieces(template: str) -> Iterator[tuple[bool, str]]:
    """Text, and what stands in {{ }}; with `-` beside the braces, the space on that side goes."""
    at, trim = 0, False
    for match in ACTION.finditer(template):
        space, trims_before, action, trims_after = match.groups()
        text = template[at : match.start()] + ("" if trims_before else space)
        yield False, text.lstrip() if trim else text
        if not action.startswith("/*"):
            yield True, action.strip()
        at, trim = match.end(), bool(trims_after)
    rest = template[at:]
    if "{{" in rest:
        raise wrong(f"{rest[rest.index('{{') :][:40]!r} does not end")
    yield False, rest.lstrip() if trim else rest


class _Reader:
    """Makes nodes of the pieces."""

    def __init__(self, pieces: list[tuple[bool, str]]) -> None:
        self._pieces = pieces

    def nodes(self) -> tuple[list[Node], str]:
        """Up to the `end` or `else` that belongs to us, which is returned, too."""
        found: list[Node] = []
        while self._pieces:
            is_action, text = self._pieces.pop(0)
            word, _, rest = text.partition(" ")
            if not is_action:
                found.append(lambda scope, text=text: text)  # type: ignore[misc]
            elif word in ("end", "else"):
                return found, text
            elif word in OPENERS:
                found.append(self._block(word, rest))
            else:
                found.append(_action(text))
        return found, ""

    def _block(self, word: str, rest: str) -> Node:
        names, expression = _declaration(rest)
        inside, ended_by = self.nodes()
        otherwise: list[Node] = []
        if ended_by.startswith("else "):  # else if: a block of its own
            otherwise = [self._block(*ended_by.removeprefix("else ").split(" ", 1))]
        elif ended_by == "else":
            otherwise, ended_by = self.nodes()
        if not ended_by:
            raise wrong(f"{{{{{word}}}}} without {{{{end}}}}")
        make = {"if": _if, "with": _with, "range": _range}[word]
        return make(names, expression, inside, otherwise)


def _all(nodes: list[Node], scope: Scope) -> str:
    return "".join(node(scope) for node in nodes)


def _action(text: str) -> Node:
    names, expression = _declaration(text)

    def node(scope: Scope) -> str:
        value = expression(scope)
        if names:
            scope[names[0]] = value
            return ""
        return shown(value)

    return node


def _if(names: list[str], expression: Expression, inside: list[Node], otherwise: list[Node]) -> Node:
    return lambda scope: _all(inside if truth(expression(scope)) else otherwise, dict(scope))


def _with(names: list[str], expression: Expression, inside: list[Node], otherwise: list[Node]) -> Node:
    def node(scope: Scope) -> str:
        value = expression(scope)
        if not truth(value):
            return _all(otherwise, dict(scope))
        return _all(inside, {**scope, ".": value, **dict.fromkeys(names, value)})

    return node


def _range(names: list[str], expression: Expression, inside: list[Node], otherwise: list[Node]) -> Node:
    def node(scope: Scope) -> str:
        values = expression(scope)
        if not isinstance(values, dict | list | None):
            raise wrong(f"range over {shown(values)[:40]!r}, which is no list")
        items = sorted(values.items()) if isinstance(values, dict) else list(enumerate(values or []))
        if not items:
            return _all(otherwise, dict(scope))
        bound = [dict(zip(names, pair[-len(names) :], strict=True)) if names else {} for pair in items]
        return "".join(
            _all(inside, {**scope, ".": value, **more}) for (_, value), more in zip(items, bound, strict=True)
        )

    return node


# ---------------------------------------------------------------- expressions


def _declaration(text: str) -> tuple[list[str], Expression]:
    """`$a, $b := pipeline`, or a pipeline alone."""
    tokens = list(_tokens(text))
    names = []
    if ("mark", ":=") in tokens or ("mark", "=") in tokens:
        while tokens[0][1] not in (":=", "="):
            kind, name = tokens.pop(0)
            if kind == "variable":
                names.append(name)
        tokens.pop(0)
    expression = _pipeline(tokens)
    if tokens or len(names) > 2:
        raise wrong(f"{text[:40]!r} is not understood")
    return names, expression


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    text = text.rstrip()
    while at < len(text):
        match = TOKEN.match(text, at)
        if match is None:
            raise wrong(f"{text[at : at + 40]!r} is not understood")
        yield match.lastgroup or "", match.group(match.lastgroup or 0)
        at = match.end()


def _pipeline(tokens: list[tuple[str, str]]) -> Expression:
    """Commands with | between them: what one gives is the last argument of the next."""
    expression = _command(tokens, None)
    while tokens and tokens[0] == ("mark", "|"):
        tokens.pop(0)
        expression = _command(tokens, expression)
    return expression


def _command(tokens: list[tuple[str, str]], before: Expression | None) -> Expression:
    """A value; or a function and its arguments."""
    if not tokens:
        raise wrong("an action is empty")
    kind, word = tokens[0]
    arguments: list[Expression] = []
    is_method = kind == "field" and word in METHODS
    if is_method or (kind == "word" and word in FUNCTIONS):
        tokens.pop(0)
        while tokens and tokens[0] not in (("mark", "|"), ("mark", ")")):
            arguments.append(_operand(tokens))
        arguments += [before] if before else []
        function = METHODS[word] if is_method else FUNCTIONS[word]
        own = [lambda scope: scope["."]] if is_method else []
        return lambda scope: call(word, function, [argument(scope) for argument in [*own, *arguments]])
    if before:
        raise wrong(
            f"{word!r} is no function",
        )
    return _operand(tokens)


def _operand(tokens: list[tuple[str, str]]) -> Expression:
    kind, word = tokens.pop(0)
    if kind == "string":
        text = word[1:-1] if word.startswith("`") else _unquoted(word)
        return lambda scope: text
    if kind == "number":
        number = float(word) if "." in word else int(word)
        return lambda scope: number
    if kind == "field":
        return lambda scope: _field(scope["."], word)
    if kind == "variable":
        name, dot, path = word.partition(".")
        return lambda scope: _field(_variable(scope, name), dot + path)
    if (kind, word) == ("mark", "("):
        inner = _pipeline(tokens)
        if not tokens or tokens.pop(0) != ("mark", ")"):
            raise wrong("a parenthesis does not end")
        if tokens and tokens[0][0] == "field" and tokens[0][1] != ".":
            path = tokens.pop(0)[1]
            return lambda scope: _field(inner(scope), path)
        return inner
    if word in CONSTANTS:
        return lambda scope: CONSTANTS[word]
    if word in FUNCTIONS:
        return lambda scope: call(word, FUNCTIONS[word], [])
    raise wrong(f"there is no function {word!r}")


def _unquoted(word: str) -> str:
    """A string in double quotes; `\\n` may have become the end of a line already."""
    try:
        return str(json.loads(word, strict=False))
    except ValueError:
        raise wrong(f"{word[:40]} is no string") from None


def _variable(scope: Scope, name: str) -> Any:
    if name not in scope:
        raise wrong(f"there is no variable {name}")
    return scope[name]


def _field(value: Any, path: str) -> Any:
    for name in filter(None, path.split(".")):
        if value is None:
            return None
        try:
            value = value[name]
        except (KeyError, TypeError):
            known = f"; there are {', '.join(value)}" if isinstance(value, dict) and len(value) < 40 else ""
            raise wrong(f"there is no field {name}{known}") from None
    return value
