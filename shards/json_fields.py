"""Parse JSON that anyone may have written: size, depth, types and ranges are checked.

Every error is a FieldError that names the field, its value and what is expected.
"""

import json
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

MAX_DEPTH = 32
MAX_COUNT = 2**63 - 1
_MAX_SHOWN = 60
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class FieldError(ValueError):
    """A JSON document lacks a field, or a field has a value that the format does not allow."""


def _refuse_constant(name: str) -> NoReturn:
    raise FieldError(f"holds {name}, which is no JSON number")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def load_json(text: str | bytes) -> Any:
    """Parse JSON without checks. Raises ValueError, also where it is nested too deeply for the parser."""
    try:
        return json.loads(text)
    except RecursionError:
        raise FieldError("is nested too deeply") from None


def parse_fields(data: bytes, max_bytes: int) -> "Fields":
    """Parse a JSON object of at most `max_bytes` in UTF-8. Raises ValueError, and FieldError, which is one."""
    if len(data) > max_bytes:
        raise FieldError(f"is larger than {max_bytes:,} bytes")
    try:
        values = _DECODER.decode(data.decode("utf-8"))
    except RecursionError:
        raise FieldError("is nested too deeply") from None
    # Few documents have as many brackets, so few are walked.
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH and _is_deep(values):
        raise FieldError(f"is nested more than {MAX_DEPTH} levels deep")
    if _SURROGATE.search(data):
        try:
            json.dumps(values, ensure_ascii=False).encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise FieldError("holds half of a surrogate pair, which is no character") from None
    return Fields(values)


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            item
            for value in level
            if isinstance(value, dict | list)
            for item in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return False
    return True


class Fields:
    """The fields of a JSON object, by name. Every method raises FieldError unless the field has the type."""

    def __init__(self, values: Any, name: str = "") -> None:
        """Take a parsed value; `name` is its own path in the document, for messages."""
        if type(values) is not dict:
            raise FieldError(f"{name or 'it'} is {_show(values)}; an object is expected")
        self.values: dict[str, Any] = values
        self._name = name

    def __contains__(self, name: str) -> bool:
        return self.values.get(name) is not None

    def count(self, name: str, *, most: int = MAX_COUNT) -> int:
        """Return a whole number from 0 to `most`."""
        value = self._get(name)
        if type(value) is not int or not 0 <= value <= most:
            self._refuse(name, f"a whole number from 0 to {most:,}")
        return int(value)

    def counts(self, name: str) -> tuple[int, ...]:
        """Return a list of whole numbers from 0."""
        values = self._list(name)
        if any(type(value) is not int or not 0 <= value <= MAX_COUNT for value in values):
            self._refuse(name, "a list of whole numbers from 0")
        return tuple(values)

    def counts_by_name(self, name: str) -> dict[str, int]:
        """Return an object whose values are whole numbers from 0."""
        part = self.part(name)
        return {key: part.count(key) for key in part.values}

    def number(self, name: str) -> float:
        """Return a finite number from 0."""
        value = self._get(name)
        if type(value) not in (int, float) or not 0 <= value <= sys.float_info.max:
            self._refuse(name, "a finite number from 0")
        return float(value)

    def flag(self, name: str) -> bool:
        """Return true or false."""
        value = self._get(name)
        if type(value) is not bool:
            self._refuse(name, "true or false")
        return value

    def text(self, name: str) -> str:
        """Return a string that can be written as UTF-8."""
        value = self._get(name)
        if not _is_text(value):
            self._refuse(name, "text")
        return str(value)

    def path(self, name: str) -> str:
        """Return a string that can name a file: its bytes may be other than UTF-8 (PEP 383)."""
        value = self._get(name)
        if type(value) is not str:  # `parse_fields` refuses other surrogates.
            self._refuse(name, "a path")
        return str(value)

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of strings, at least one."""
        values = self._list(name)
        if not values or not all(map(_is_text, values)):
            self._refuse(name, "a list of texts")
        return tuple(values)

    def texts_by_name(self, name: str) -> dict[str, str]:
        """Return an object whose values are strings."""
        part = self.part(name)
        return {key: part.text(key) for key in part.values}

    def matching(self, name: str, pattern: re.Pattern[str], example: str) -> str:
        """Return a string that the whole pattern matches; `example` describes it in the message."""
        value = self._get(name)
        if type(value) is not str or not pattern.fullmatch(value):
            self._refuse(name, example)
        return value

    def sha256(self, name: str) -> str:
        """Return 64 hexadecimal digits in lower case."""
        return self.matching(name, _SHA256, "64 hexadecimal digits")

    def choice(self, name: str, choices: Sequence[str]) -> str:
        """Return one of some strings."""
        value = self._get(name)
        if type(value) is not str or value not in choices:
            self._refuse(name, " or ".join(choices))
        return value

    def check_names(self, pattern: re.Pattern[str], example: str) -> None:
        """Check that the whole pattern matches the name of every field; `example` describes it in the message."""
        for name in self.values:
            if not pattern.fullmatch(name):
                raise FieldError(f"{self._name} has {_show(name)}; {example} is expected")

    def part(self, name: str) -> "Fields":
        """Return the fields of an object in this one."""
        return Fields(self._get(name), self._path(name))

    def parts(self, name: str) -> "Iterator[Fields]":
        """Yield the fields of each object in a list."""
        for number, value in enumerate(self._list(name)):
            yield Fields(value, f"{self._path(name)}[{number}]")

    def _list(self, name: str) -> list[Any]:
        values = self._get(name)
        if type(values) is not list:
            self._refuse(name, "a list")
        return list(values)

    def _get(self, name: str) -> Any:
        try:
            return self.values[name]
        except KeyError:
            raise FieldError(f"lacks {self._path(name)}") from None

    def _path(self, name: str) -> str:
        return f"{self._name}.{name}" if self._name else name

    def _refuse(self, name: str, expected: str) -> NoReturn:
        raise FieldError(f"{self._path(name)[:200]} is {_show(self.values[name])}; {expected} is expected")


def _is_text(value: Any) -> bool:
    if type(value) is not str:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:  # A byte of a path.
        return False
    return True


def _show(value: Any) -> str:
    """Return a value in at most 60 printable characters."""
    text = ascii(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."
