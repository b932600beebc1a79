"""What a Dockerfile says: lines, words, here-documents, stages, and what they make of a configuration."""

from __future__ import annotations

import random
import re
import time
from typing import Any

import pytest

from ch02_namespaces.errors import EngineError
from final.build import configuration
from final.build.dockerfile import DockerfileError, Instruction, parse
from final.build.modes import Mode
from final.build.stages import Plan
from final.build.words import WordError, expand, expand_document, expand_words, raw_words


def parsed(text: str) -> list[tuple[str, str]]:
    return [(one.word, one.text) for one in parse(text.encode(), "Dockerfile")]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("from a", [("FROM", "a")]),
        ("\ufeffFROM a\r\n\r\nRUN b\r\n", [("FROM", "a"), ("RUN", "b")]),
        ("  # a comment\nRUN a # no comment\n", [("RUN", "a # no comment")]),
        ("RUN a \\\n  b\n", [("RUN", "a   b")]),
        ("RUN a \\\n# a comment\n\n  b", [("RUN", "a   b")]),
        ("RUN a \\  \nb", [("RUN", "a b")]),
        ("RUN a \\\\\nRUN b", [("RUN", "a \\\\"), ("RUN", "b")]),
        ("RUN a\\", [("RUN", "a")]),
        ("# escape=`\nRUN a `\nb\\\nRUN c", [("RUN", "a b\\"), ("RUN", "c")]),
        ("# syntax=x\n# escape = `\nRUN a `\nb", [("RUN", "a b")]),
        ("# a comment\n# escape=`\nRUN a `\nRUN b", [("RUN", "a `"), ("RUN", "b")]),
        ("\n# escape=`\nRUN a `\nRUN b", [("RUN", "a `"), ("RUN", "b")]),
        ("RUN <<EOF\n# kept\n\n  x\\\nEOF\nRUN b", [("RUN", "<<EOF"), ("RUN", "b")]),
    ],
)
def test_lines(text: str, found: list[tuple[str, str]]) -> None:
    assert parsed(text) == found


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("FROM a\nNONSENSE b", 2, "no instruction 'NONSENSE'"),
        ("FROM a\n\nRUN", 3, "it says nothing"),
        ("FROM a\nRUN <<EOF\nb\n", 2, "EOF has no end"),
        ("# escape=x\nFROM a", 1, "escape character"),
        ("FROM a\nCOPY --nonsense=1 a b", 2, "no flag --nonsense"),
        ("FROM a\nRUN \\\n  <<A cat\n", 2, "A has no end"),
    ],
)
def test_what_is_wrong_has_its_line(text: str, line: int, words: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        parse(text.encode(), "Dockerfile")
    assert str(caught.value).startswith(f"Dockerfile:{line}: ") and words in str(caught.value)
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("data", [b"FROM \xff", b"FROM a\0b", b"#" * (5 << 20)])
def test_what_is_no_text_is_refused(data: bytes) -> None:
    with pytest.raises(DockerfileError):
        parse(data, "Dockerfile")


@pytest.mark.parametrize(
    ("text", "documents"),
    [
        ("RUN <<EOF\na $b\nEOF", [("EOF", "a $b\n", True)]),
        ("RUN <<'EOF'\na\nEOF", [("EOF", "a\n", False)]),
        ('RUN <<"EOF"\na\nEOF', [("EOF", "a\n", False)]),
        ("RUN <<-EOF\n\ta\n\t\tb\n\tEOF", [("EOF", "a\nb\n", True)]),
        ("RUN cat <<A <<B\n1\nA\n2\nB", [("A", "1\n", True), ("B", "2\n", True)]),
        ("COPY <<x.txt /y/\nFROM z\nx.txt", [("x.txt", "FROM z\n", True)]),
        ("RUN 3<<EOF cat\nEOF", [("EOF", "", True)]),
        ("ONBUILD RUN <<E\na\nE", [("E", "a\n", True)]),
        ('RUN ["cat", "<<EOF"]', []),
        ("RUN echo '<<EOF'", []),
        ("RUN cat <<<EOF", []),
        ("ENV a=<<EOF", []),
    ],
)
def test_here_documents(text: str, documents: list[tuple[str, str, bool]]) -> None:
    (instruction,) = parse(text.encode(), "Dockerfile")
    assert [(one.name, one.text, one.expands) for one in instruction.documents] == documents


def test_flags() -> None:
    (instruction,) = parse(b"COPY --from=a --chown=1:2 --link x y", "Dockerfile")
    assert instruction.flags == [("from", "a"), ("chown", "1:2"), ("link", "")]
    assert instruction.text == "x y"
    (twice,) = parse(b"COPY --from=a --from=b x y", "Dockerfile")
    with pytest.raises(DockerfileError, match="2 times"):
        twice.flag("from")


VARIABLES = {"x": "1 2", "empty": "", "y_2": "why", "path": "a.b.c/d.e"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a$x", "a1 2"),
        ("${x}b", "1 2b"),
        ("$y_2.z", "why.z"),
        ("$none", ""),
        ("${none:-d}", "d"),
        ("${empty:-d}", "d"),
        ("${empty-d}", ""),
        ("${none-d}", "d"),
        ("${x:+d}", "d"),
        ("${empty:+d}", ""),
        ("${empty+d}", "d"),
        ("${none:-${x:+$y_2}}", "why"),
        ("${none:-'}'}", "}"),
        ("${path#*.}", "b.c/d.e"),
        ("${path##*.}", "e"),
        ("${path%.*}", "a.b.c/d"),
        ("${path%%.*}", "a"),
        ("${path#b}${path%d}", "a.b.c/d.ea.b.c/d.e"),
        ("${path#?.}", "b.c/d.e"),
        (r"${path#\?.}", "a.b.c/d.e"),
        ("${path/./-}", "a-b.c/d.e"),
        ("${path//./-}", "a-b-c/d-e"),
        (r"${path/\//-}", "a.b.c-d.e"),
        ("${path//[a.]/}", "a.b.c/d.e"),
        ("${path/b*d}", "a..e"),
        ("${path//?.}", "c/e"),
        ("${path//}", "a.b.c/d.e"),
        (r"${path//./\1}", "a1b1c/d1e"),
        ("${path//./$y_2}", "awhybwhyc/dwhye"),
        ("${path#${none:-a.}}", "b.c/d.e"),
        ("${path%'}'}", "a.b.c/d.e"),
        ("${none#a}${none/a/b}", ""),
        (r"\$x", "$x"),
        (r"a\ b", "a b"),
        ("'$x'", "$x"),
        ('"$x"', "1 2"),
        (r'"\$x \a \""', r'$x \a "'),
        ("a'b'\"c\"", "abc"),
        ("$", "$"),
        ("a$ b", "a$ b"),
        ("", ""),
    ],
)
def test_variables(text: str, found: str) -> None:
    assert expand(text, VARIABLES) == found


def test_many_stars() -> None:
    """They mean what they would if all combinations of their lengths were tried."""
    chosen = random.Random(1)
    for _ in range(3000):
        pattern = "".join(chosen.choices("ab?**", k=chosen.randrange(1, 8)))
        value = "".join(chosen.choices("ab", k=chosen.randrange(9)))
        plain = pattern.replace("?", ".")
        for sign, star in (("#", ".*?"), ("##", ".*")):
            fitting = re.compile(re.sub(r"\*+", star, plain)).match(value)
            assert expand(f"${{x{sign}{pattern}}}", {"x": value}) == value[fitting.end() if fitting else 0 :]
        replaced = re.sub(re.sub(r"\*+", ".*", plain), "-", value)
        assert expand(f"${{x//{pattern}/-}}", {"x": value}) == replaced


@pytest.mark.parametrize("operator", ["#", "##", "%", "%%"])
def test_no_substitution_takes_for_ever(operator: str) -> None:
    began = time.process_time()
    value = "a" * 500
    assert expand(f"${{x{operator}c{12 * '*a'}*b{12 * '*a'}*c}}", {"x": f"c{value}c"}) == f"c{value}c"
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    "text",
    [
        "'",
        '"a',
        "${x",
        "${",
        "${}",
        "${x^a}",
        "${x%a",
        "${x/a",
        "${x/a/b",
        "${none:?must be set}",
        "${a:-" * 60 + "}" * 60,
        "${x:",
    ],
)
def test_what_is_no_word(text: str) -> None:
    with pytest.raises(WordError):
        expand(text, VARIABLES)


def test_words() -> None:
    assert expand_words("80 $x '$x' \"$x\"", VARIABLES) == ["80", "1", "2", "$x", "1 2"]
    assert raw_words('a=\'1 2\'  b="3\\" 4" c=5\\ 6', "\\") == ["a='1 2'", 'b="3\\" 4"', "c=5\\ 6"]
    assert expand("a`$x", VARIABLES, "`") == "a$x"
    assert expand_document("'$x' \"${y_2}\" \\$x \\a", VARIABLES) == "'1 2' \"why\" $x \\a"


@pytest.mark.parametrize(
    ("text", "mode", "found"),
    [
        ("755", 0o600, 0o755),
        ("4711", 0o600, 0o4711),
        ("u+x", 0o644, 0o744),
        ("+x", 0o644, 0o755),
        ("+w", 0o444, 0o644),
        ("a+w", 0o444, 0o666),
        ("go-rwx", 0o755, 0o700),
        ("g=u,o=", 0o750, 0o770),
        ("u=rw,go=r", 0o777, 0o644),
        ("a=rX", 0o640, 0o444),
        ("a=rX", 0o740, 0o555),
        ("u+s,g+s,+t", 0o755, 0o7755),
        ("ug-s", 0o6755, 0o755),
        ("u=rwx-w", 0o000, 0o500),
    ],
)
def test_modes(text: str, mode: int, found: int) -> None:
    assert Mode(text).of(mode, is_directory=False) == found


def test_modes_of_directories() -> None:
    assert Mode("a=rX").of(0o600, is_directory=True) == 0o555


@pytest.mark.parametrize("text", ["", "x", "7", "77777", "888", "u", "u+q", "u+x,", "z+x", "u*x", "u+x o+x"])
def test_what_is_no_mode(text: str) -> None:
    with pytest.raises(EngineError, match="mode"):
        Mode(text)


# ---------------------------------------------------------------- configuration


def configured(text: str, config: dict[str, Any] | None = None) -> dict[str, Any]:
    found = config or {}
    for instruction in parse(text.encode(), "Dockerfile"):
        found, _ = configuration.applied(found, instruction, {"v": "1 2", **configuration.environment_of(found)})
    return found


@pytest.mark.parametrize(
    ("text", "config"),
    [
        ("CMD a $v", {"Cmd": ["/bin/sh", "-c", "a $v"]}),
        ('CMD ["a", "$v"]', {"Cmd": ["a", "$v"]}),
        ("CMD ['a']", {"Cmd": ["/bin/sh", "-c", "['a']"]}),
        ('SHELL ["/bin/ash", "-ec"]\nCMD a', {"Shell": ["/bin/ash", "-ec"], "Cmd": ["/bin/ash", "-ec", "a"]}),
        ('CMD ["a"]\nENTRYPOINT ["b"]', {"Entrypoint": ["b"], "Cmd": ["a"]}),
        ('ENTRYPOINT ["b"]\nCMD ["c"]', {"Entrypoint": ["b"], "Cmd": ["c"]}),
        ("ENV a=1 b=\"2 3\" c=4\\ 5 d='$v' e=$v", {"Env": ["a=1", "b=2 3", "c=4 5", "d=$v", "e=1 2"]}),
        ("ENV a b  c", {"Env": ["a=b  c"]}),
        ("ENV\ta\tb\tc", {"Env": ["a=b\tc"]}),
        ("HEALTHCHECK --retries=1\tCMD\ta  b", {"Healthcheck": {"Test": ["CMD-SHELL", "a  b"], "Retries": 1}}),
        ("ENV a=1\nENV a=2 b=$a", {"Env": ["a=2", "b=1"]}),
        ("ENV a=", {"Env": ["a="]}),
        ('LABEL "a b"=c\nLABEL d=$v', {"Labels": {"a b": "c", "d": "1 2"}}),
        ("EXPOSE 80 53/udp 9000-9001", {"ExposedPorts": {"80/tcp": {}, "53/udp": {}, "9000/tcp": {}, "9001/tcp": {}}}),
        ("EXPOSE $v", {"ExposedPorts": {"1/tcp": {}, "2/tcp": {}}}),
        ('VOLUME /a /b\nVOLUME ["/c d"]', {"Volumes": {"/a": {}, "/b": {}, "/c d": {}}}),
        ("USER a:$v", {"User": "a:1 2"}),
        ("STOPSIGNAL SIGINT", {"StopSignal": "SIGINT"}),
        ("STOPSIGNAL 9", {"StopSignal": "9"}),
        ("STOPSIGNAL SIGRTMIN+3", {"StopSignal": "SIGRTMIN+3"}),
        ("HEALTHCHECK NONE", {"Healthcheck": {"Test": ["NONE"]}}),
        ("HEALTHCHECK CMD a b", {"Healthcheck": {"Test": ["CMD-SHELL", "a b"]}}),
        (
            'HEALTHCHECK --interval=1m30s --timeout=500ms --start-period=1s --start-interval=2s --retries=4 CMD ["a"]',
            {
                "Healthcheck": {
                    "Test": ["CMD", "a"],
                    "Interval": 90_000_000_000,
                    "Timeout": 500_000_000,
                    "StartPeriod": 1_000_000_000,
                    "StartInterval": 2_000_000_000,
                    "Retries": 4,
                }
            },
        ),
        ("ONBUILD RUN a $v\nONBUILD COPY . /", {"OnBuild": ["RUN a $v", "COPY . /"]}),
        ("ONBUILD RUN <<E\na\nE", {"OnBuild": ["RUN <<E\na\nE"]}),
    ],
)
def test_configuration(text: str, config: dict[str, Any]) -> None:
    assert configured(text) == config


@pytest.mark.parametrize(
    "text",
    [
        *(
            "ENV a",
            "ENV a=1 b",
            "LABEL =x",
            "EXPOSE x",
            "EXPOSE 70000",
            "SHELL a",
            "USER $none",
            "VOLUME ''",
            "STOPSIGNAL x",
        ),
        *("HEALTHCHECK a", "HEALTHCHECK CMD", "HEALTHCHECK --interval=1 CMD a", "HEALTHCHECK --retries=x CMD a"),
        *("HEALTHCHECK --interval=1us CMD a", "ONBUILD FROM a", "ONBUILD ONBUILD RUN a", "ENV a='"),
    ],
)
def test_what_cannot_be_is_the_dockerfiles_fault(text: str) -> None:
    with pytest.raises(DockerfileError, match="Dockerfile:1: "):
        configured(text)


# ---------------------------------------------------------------- stages


def planned(text: str, given: dict[str, str] | None = None) -> Plan:
    return Plan(parse(text.encode(), "Dockerfile"), "Dockerfile", given or {}, {"TARGETARCH": "amd64"})


def test_stages_that_a_target_takes() -> None:
    text = "FROM a AS one\nFROM b AS two\nFROM one AS three\nCOPY --from=1 x y\nFROM three\nFROM c AS five\n"
    plan = planned(text)
    assert [stage.number for stage in plan.needed("")] == [4]
    assert [stage.number for stage in plan.needed("three")] == [0, 1, 2]
    assert [stage.number for stage in plan.needed("3")] == [0, 1, 2, 3]
    with pytest.raises(DockerfileError, match="no stage 'six'"):
        plan.needed("six")


def test_arguments_before_from() -> None:
    text = "ARG base=a\nARG tag=${base}1\nFROM $base:$tag-$TARGETARCH AS x\nFROM ${none:-scratch}"
    assert [stage.base for stage in planned(text).stages] == ["a:a1-amd64", "scratch"]
    assert planned(text, {"base": "b", "none": "c"}).stages[0].base == "b:b1-amd64"
    assert planned(text, {"none": "c"}).stages[1].base == "scratch"  # no ARG asks for it


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no FROM"),
        ("RUN a\nFROM b", "before the first FROM"),
        ("FROM a b", "not FROM IMAGE"),
        ("FROM a AS 1x", "no name for a stage"),
        ("FROM $none", "is empty"),
        ("FROM ${x", "not closed"),
    ],
)
def test_no_stages(text: str, words: str) -> None:
    with pytest.raises(DockerfileError, match=words):
        planned(text)


def test_an_error_is_one_of_a_place() -> None:
    assert str(Instruction("RUN", "a", "F:3", "\\").error("no", "yes")) == "F:3: RUN: no (yes)"
