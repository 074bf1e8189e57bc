from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmasq.config.locations import Path, line_of, locations


def paths(value: object, path: Path = ()) -> Iterator[Path]:
    """Of everything in what tomllib has read."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from paths(inner, (*path, key))
    if isinstance(value, list):
        for index, inner in enumerate(value):
            yield from paths(inner, (*path, index))


TEXT = """\
# a comment with "quotes" and [brackets]
top = 1

[gateway]   # [not.a.table]
inside = [
  "10.0.0.0/24",  # ] not the end
  # "10.9.9.0/24",
  "10.0.1.0/24", 'x]y',
]
"quoted key" = '''
[fake]
a = 1
'''
dotted . inner."more" = { a = 1, b = [2, {c = "}"}] }
date = 1979-05-27 07:32:00
after = \"\"\"a \\\"\"\" # b
\"\"\"\"
[[rule]]
action = "pass" # "drop"
[[rule]]
  [rule.sub]
  z = -1.5e3
[[rule.sub.list]]
[[rule.sub.list]]
q = "\\\\"
[a.b.c]
x = ""
[a]
y = ''
"""

LINES = {
    ("top",): 2,
    ("gateway",): 4,
    ("gateway", "inside"): 5,
    ("gateway", "inside", 0): 6,
    ("gateway", "inside", 1): 8,
    ("gateway", "inside", 2): 8,
    ("gateway", "quoted key"): 10,
    ("gateway", "dotted"): 14,
    ("gateway", "dotted", "inner"): 14,
    ("gateway", "dotted", "inner", "more"): 14,
    ("gateway", "dotted", "inner", "more", "a"): 14,
    ("gateway", "dotted", "inner", "more", "b"): 14,
    ("gateway", "dotted", "inner", "more", "b", 0): 14,
    ("gateway", "dotted", "inner", "more", "b", 1): 14,
    ("gateway", "dotted", "inner", "more", "b", 1, "c"): 14,
    ("gateway", "date"): 15,
    ("gateway", "after"): 16,
    ("rule",): 18,
    ("rule", 0): 18,
    ("rule", 0, "action"): 19,
    ("rule", 1): 20,
    ("rule", 1, "sub"): 21,
    ("rule", 1, "sub", "z"): 22,
    ("rule", 1, "sub", "list"): 23,
    ("rule", 1, "sub", "list", 0): 23,
    ("rule", 1, "sub", "list", 1): 24,
    ("rule", 1, "sub", "list", 1, "q"): 25,
    ("a",): 26,
    ("a", "b"): 26,
    ("a", "b", "c"): 26,
    ("a", "b", "c", "x"): 27,
    ("a", "y"): 29,
}


def test_every_key_and_element_is_found_on_its_line():
    assert dict(locations(TEXT)) == LINES
    assert set(LINES) == set(paths(tomllib.loads(TEXT)))


def test_lines_that_end_like_those_of_windows_count_the_same():
    assert dict(locations(TEXT.replace("\n", "\r\n"))) == LINES


def test_what_is_not_in_the_file_is_where_its_table_is():
    where = locations(TEXT)
    assert line_of(where, ("rule", 1, "missing")) == 20
    assert line_of(where, ("gateway", "outside")) == 4
    assert line_of(where, ("nothing", "at all")) is None


@pytest.mark.parametrize("text", ["", "\n", "# only a comment", "a=1", "[t]", "a=[]\nb={}\n"])
def test_files_that_hardly_say_anything_are_read(text: str):
    assert set(locations(text)) == set(paths(tomllib.loads(text)))


KEYS = st.text(max_size=6) | st.sampled_from(["a", "b", "rule"])
SCALARS = (
    st.integers()
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
    | st.text("'\"\\]}#,=[{ \n", max_size=12)
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3)
)


class Writer:
    """Writes TOML in several styles and notes the line of everything as it goes."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.text = ""
        self.where: dict[Path, int] = {}

    def note(self, path: Path) -> None:
        self.where[path] = self.text.count("\n") + 1

    def gap(self) -> None:
        """Where TOML allows new lines and comments."""
        self.text += self.draw(st.sampled_from(["", " ", "\n", " # ] } \"'\n", "\n\n\t"]))

    def value(self, value: object, path: Path) -> None:
        self.note(path)
        if isinstance(value, list):
            self.text += "["
            for index, item in enumerate(value):
                self.gap()
                self.value(item, (*path, index))
                self.gap()
                self.text += ","
            self.gap()
            self.text += "]"
        elif isinstance(value, dict):
            self.text += "{"
            for number, (key, item) in enumerate(value.items()):
                self.text += " , " if number else " "
                self.note((*path, key))
                self.text += f"{quoted(key)} = "
                line = self.where[(*path, key)]
                self.value(item, (*path, key))
                self.where[(*path, key)] = line
            self.text += " }"
        elif isinstance(value, str):
            self.string(value)
        else:
            self.text += str(value).lower()

    def string(self, value: str) -> None:
        plain = all(c.isprintable() or c == "\n" for c in value)
        if plain and "'" not in value and self.draw(st.booleans()):
            self.text += f"'''\n{value}'''"
        elif plain and "\\" not in value and '"""' not in value and value[-1:] != '"':
            self.text += f'"""\n{value}"""'
        else:
            self.text += quoted(value)


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


@st.composite
def documents(draw: st.DrawFn) -> Writer:
    writer = Writer(draw)
    for key, value in draw(st.dictionaries(KEYS, VALUES, max_size=4)).items():
        writer.note((key,))
        line = writer.where[(key,)]
        writer.text += f"{quoted(key)} = "
        writer.value(value, (key,))
        writer.where[(key,)] = line
        writer.text += draw(st.sampled_from(["\n", " # [x]\n", "\n\n"]))
    return writer


@given(documents())
def test_whatever_is_written_is_found_where_it_was_written(document: Writer):
    assert set(document.where) == set(paths(tomllib.loads(document.text)))
    assert dict(locations(document.text)) == document.where
