"""Go templates, as `--format` takes them."""

from __future__ import annotations

from typing import Any

import pytest

from ch02_namespaces.errors import EngineError
from final.shapes import ABSENT, Record, Words
from final.template import render

VALUE: dict[str, Any] = {
    "Name": "box",
    "Count": 3,
    "List": ["a", "b"],
    "Map": {"k": "v", "ports": [{"HostPort": "80"}]},
    "Empty": [],
    "Nothing": None,
    "Yes": True,
}

SAID = {
    "plain {text}": "plain {text}",
    "{{.Name}}:{{.Count}}": "box:3",
    "{{.Map.k}}": "v",
    "{{.List}} {{.Yes}} {{.Nothing}}": "[a b] true <no value>",
    "{{json .List}} {{json .Name}}": '["a","b"] "box"',
    "{{json .Map}}": '{"k":"v","ports":[{"HostPort":"80"}]}',
    "{{range .List}}<{{.}}>{{end}}": "<a><b>",
    "{{range $i, $e := .List}}{{$i}}={{$e}} {{end}}": "0=a 1=b ",
    "{{range $k, $v := .Map}}{{$k}};{{end}}": "k;ports;",
    "{{range .Empty}}x{{else}}none{{end}}": "none",
    "{{range .List}}{{$.Name}}{{end}}": "boxbox",
    "{{if .Empty}}yes{{else}}no{{end}}": "no",
    "{{if and .Yes .Count}}yes{{end}}": "yes",
    '{{if eq .Name "x"}}1{{else if eq .Name "box"}}2{{else}}3{{end}}': "2",
    "{{with .Map}}{{.k}}{{end}}": "v",
    "{{with $m := .Map}}{{$m.k}}{{end}}": "v",
    '{{index .Map "k"}}{{index .List 1}}': "vb",
    "{{(index .Map.ports 0).HostPort}}": "80",
    '{{join .List ", "}}': "a, b",
    "{{.Name | upper | lower}}": "box",
    '{{printf "%s=%d %v" .Name .Count .List}}': "box=3 [a b]",
    '{{.Name | printf "%-5s|"}}': "box  |",
    '{{printf "%v %5d|%03d|%x|%q|%.1s|%t|%.2f%%" .Name 3 .Count 255 .Name .Name .Yes 1.5}}':
        'box     3|003|ff|"box"|b|true|1.50%',
    '{{printf "%s %d" .Name}}': "box %!d(MISSING)",
    '{{"a\nb"}}{{"\\t"}}': "a\nb\t",
    '{{len .List}}{{len "abc"}}': "23",
    "{{not .Yes}}": "false",
    '{{or .Empty "default"}}': "default",
    "{{truncate .Name 2}}": "bo",
    '{{split .Name ""}} {{split .Name "o"}}': "[b o x] [b x]",
    '{{slice .Name 1}}{{slice .Name 0 1}}': "oxb",
    "{{$x := .Name}}{{$x}}": "box",
    "a {{- .Name -}} b": "aboxb",
    "{{/* a comment */}}c": "c",
    '{{"}}"}}{{`{{`}}': "}}{{",
    "{{println .Name}}": "box\n",
}  # fmt: skip


PORTS = Words({"80/tcp": None})
RECORD = Record({"Name": "box", "Ports": PORTS}, {"Driver": "", "Health": ABSENT})
OF_RECORDS = {
    "{{.Name}}[{{.Driver}}]": "box[]",
    "{{.Health}} {{json .Health}}": "<nil> null",
    "{{if .Health}}{{.Health.Status}}{{else}}none{{end}}": "none",
    "{{with .Health}}{{.Status}}{{end}}.": ".",
    "{{.Ports.nosuch}}": "<no value>",
    "{{json .}}": '{"Name":"box","Ports":{"80/tcp":null}}',
}


@pytest.mark.parametrize("template", OF_RECORDS)
def test_fields_of_which_nothing_is_said(template: str) -> None:
    assert render(template, RECORD) == OF_RECORDS[template]


@pytest.mark.parametrize("template", ["{{.Nosuch}}", "{{.Health.Status}}"])
def test_fields_that_no_such_record_has(template: str) -> None:
    with pytest.raises(EngineError, match="there is no field"):
        render(template, RECORD)


@pytest.mark.parametrize("template", SAID)
def test_what_they_say(template: str) -> None:
    assert render(template, VALUE) == SAID[template]


WRONG = [
    *("{{.Nosuch}}", "{{", "{{.Name", "{{end}}", "{{if .Name}}", "{{else}}", "{{nosuch}}", "{{index .List 9}}"),
    *(
        "{{.Name.Deeper}}",
        "{{}}",
        "{{.Name | .Count}}",
        "{{(.Name}}",
        "{{$nosuch}}",
        "{{.Name Count}}",
        "{{join .Count}}",
    ),
    *("{{.Name)}}", "{{ ; }}", '{{printf "%d" .Name}}', "{{range .Count}}{{end}}", "{{if}}{{end}}", "{{:=}}"),
]


@pytest.mark.parametrize("template", WRONG)
def test_what_is_none(template: str) -> None:
    with pytest.raises(EngineError, match="--format"):
        render(template, VALUE)


def test_a_template_cannot_reach_what_it_was_not_given() -> None:
    """Fields are keys of mappings, never attributes of Python's objects."""
    for template in ("{{.__class__}}", "{{.Name.__class__}}", '{{index .Name "__class__"}}'):
        with pytest.raises(EngineError):
            render(template, VALUE)
