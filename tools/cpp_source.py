# SPDX-License-Identifier: Apache-2.0
"""What the checks know of C++ text: its includes, and its code without comments and literals."""
import re

_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', re.MULTILINE)
_NOT_CODE = re.compile(
    r'R"(?P<tag>[^()\\\s]{0,16})\(.*?\)(?P=tag)"'
    r'|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9A-Za-z_])'(?:\\.|[^'\\\n])*'"
    r"|//[^\n]*"
    r"|/\*.*?\*/",
    re.DOTALL,
)


def _blank(match):
    """As many lines as before, so that line numbers stay right."""
    return " " + "\n" * match.group().count("\n")


def code_of(text):
    """The text without comments, string and character literals (and so without "…" includes)."""
    return _NOT_CODE.sub(_blank, text)


def without_comments(text):
    """The text without comments; literals stay."""
    return _NOT_CODE.sub(lambda m: _blank(m) if m.group()[0] == "/" else m.group(), text)


def includes_of(text):
    """(line number, '<' or '"', path) of each #include that is not in a comment."""
    text = without_comments(text)
    return [
        (text.count("\n", 0, m.start(1)) + 1, m.group(1), m.group(2))
        for m in _INCLUDE.finditer(text)
    ]
