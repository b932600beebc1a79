"""Words of an instruction: quotes, escapes, and variables: $NAME, ${NAME}, ${NAME:-word}, ${NAME:+word}, ${NAME:?word},
${NAME#pattern}, ${NAME%pattern}, ${NAME/pattern/word}.

Source: Docker's "Dockerfile reference", "Environment replacement". A POSIX shell's rules are the model, but nothing is
run: there are no commands and no arithmetic in it.
"""

from __future__ import annotations

from final.build import substitution

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

WHITESPACE = " \t\n\r"
DEEPEST = 50  # words within words


class WordError(ValueError):
    """What is wrong with some text."""


def raw_words(text: str, escape: str) -> list[str]:
    """Text cut at whitespace outside quotes; the words keep their quotes and escapes."""
    words, word, quote, at = [], "", "", 0
    while at < len(text):
        letter = text[at]
        if letter == escape and quote != "'":
            letter = text[at : at + 2]
        elif letter == quote:
            quote = ""
        elif letter in "'\"" and not quote:
            quote = letter
        at += len(letter)
        if quote or letter not in WHITESPACE:
            word += letter
        elif word:
            words.append(word)
            word = ""
    return [*words, word] if word else words


def unquoted(text: str) -> str:
    """A word without its quotes and escapes; nothing is expanded."""
    return "".join(letter for letter in text if letter not in "'\"\\")


def expand(text: str, variables: Mapping[str, str], escape: str = "\\") -> str:
    """Text as one word, without quotes and with variables replaced. Raises WordError."""
    return _Reader(text, variables, escape).whole()


def expand_words(text: str, variables: Mapping[str, str], escape: str = "\\") -> list[str]:
    """The same for several words; what a variable holds is cut at whitespace, too, unless it is quoted. WordError."""
    reader = _Reader(text, variables, escape)
    reader.whole()
    return reader.words()


def expand_document(text: str, variables: Mapping[str, str], escape: str = "\\") -> str:
    """A here-document with its variables replaced: quotes mean nothing in it. Raises WordError."""
    reader = _Reader(text, variables, escape)
    while not reader.is_at_end():
        reader.take_quoted()
    return reader.text()


class _Reader:
    """Text that is read letter by letter. What is found are pieces: (text, whether whitespace in it separates).
    of_pattern: an escaped letter keeps a backslash, which is for the pattern to understand."""

    def __init__(
        self, text: str, variables: Mapping[str, str], escape: str, depth: int = 0, of_pattern: bool = False
    ) -> None:
        if depth > DEEPEST:
            raise WordError(f"more than {DEEPEST} words within words")
        self._text = text
        self._variables = variables
        self._escape = escape
        self._depth = depth
        self._of_pattern = of_pattern
        self._at = 0
        self._found: list[tuple[str, bool]] = []

    def whole(self) -> str:
        """All of it."""
        while not self.is_at_end():
            self._take()
        return self.text()

    def text(self) -> str:
        """What has been found, as one word."""
        return "".join(text for text, _ in self._found)

    def words(self) -> list[str]:
        """What has been found, cut at whitespace."""
        words, word = [], ""
        for text, separates in self._found:
            for letter in text:
                if not separates or letter not in WHITESPACE:
                    word += letter
                elif word:
                    words.append(word)
                    word = ""
        return [*words, word] if word else words

    def is_at_end(self) -> bool:
        """Whether all is read."""
        return self._at >= len(self._text)

    def _next(self) -> str:
        letter = self._text[self._at : self._at + 1]
        self._at += 1
        return letter

    def _add(self, text: str, separates: bool = False) -> None:
        self._found.append((text, separates))

    def _take(self) -> None:
        """Something outside double quotes."""
        letter = self._text[self._at]
        if letter == "'":
            end = self._text.find("'", self._at + 1)
            if end < 0:
                raise WordError("a ' is not closed")
            self._add(self._text[self._at + 1 : end])
            self._at = end + 1
        elif letter == '"':
            self._at += 1
            self._take_in_quotes()
        elif letter == "$":
            self._add(self._variable(), separates=True)
        elif letter == self._escape:
            self._at += 1
            self._add(("\\" if self._of_pattern else "") + self._next())
        else:
            self._add(self._next(), separates=True)

    def _take_in_quotes(self) -> None:
        while not self.is_at_end():
            if self._text[self._at] == '"':
                self._at += 1
                return
            self.take_quoted('"')
        raise WordError('a " is not closed')

    def take_quoted(self, more: str = "") -> None:
        """Something in double quotes: an escape character is one only before some letters. more: such a letter."""
        letter = self._text[self._at]
        if letter == "$":
            self._add(self._variable())
        elif letter == self._escape and self._text[self._at + 1 : self._at + 2] in (more, "$", self._escape):
            self._at += 1
            self._add(self._next())
        else:
            self._add(self._next())

    def _variable(self) -> str:
        self._at += 1
        if self._text[self._at : self._at + 1] != "{":
            name = self._name()
            return self._variables.get(name, "") if name else "$"
        self._at += 1
        name = self._name()
        if not name:
            raise WordError("${ is followed by no name")
        return self._modified(name)

    def _name(self) -> str:
        begin = self._at
        while not self.is_at_end() and (self._text[self._at] == "_" or _is_ascii_letter(self._text[self._at])):
            self._at += 1
        return self._text[begin : self._at]

    def _modified(self, name: str) -> str:
        """What follows the name, up to the brace."""
        value = self._variables.get(name)
        modifier = self._next()
        if not modifier:
            raise WordError("${ is not closed")
        if modifier == "}":
            return value or ""
        if modifier in ("#", "%"):
            is_longest = self._skips(modifier)
            cut = substitution.without_beginning if modifier == "#" else substitution.without_end
            return cut(value or "", self._word_to("}", of_pattern=True), is_longest)
        if modifier == "/":
            return self._replaced(value or "")
        if modifier == ":":
            modifier = self._next()
            value = value or None
        if modifier not in ("-", "+", "?"):
            raise WordError(f"${{{name}{modifier}…: only :-, :+, :?, #, % and / are known")
        word = self._word_to("}")
        if modifier == "+":
            return word if value is not None else ""
        if value is None and modifier == "?":
            raise WordError(f"{name}: {word or 'it is not set'}")
        return word if value is None else value

    def _replaced(self, value: str) -> str:
        is_every = self._skips("/")
        pattern = self._word_to("/}", of_pattern=True)
        text = self._word_to("}") if self._text[self._at - 1] == "/" else ""
        return substitution.replaced(value, pattern, text, is_every)

    def _skips(self, letter: str) -> bool:
        """Go past a letter, if it is the next."""
        is_next = self._text[self._at : self._at + 1] == letter
        self._at += is_next
        return is_next

    def _word_to(self, ends: str, of_pattern: bool = False) -> str:
        """What stands before one of these letters, which is gone past."""
        inner = _Reader(self._text, self._variables, self._escape, self._depth + 1, of_pattern)
        inner._at = self._at
        while not inner.is_at_end() and inner._text[inner._at] not in ends:
            inner._take()
        if inner.is_at_end():
            raise WordError("${ is not closed")
        self._at = inner._at + 1
        return inner.text()


def _is_ascii_letter(letter: str) -> bool:
    return letter.isascii() and letter.isalnum()
