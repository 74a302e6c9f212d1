"""Seeded changes of bytes and of JSON documents."""

import json
import random
from typing import Any

_WORDS = (
    b"\t", b"\n", b"\r", b"\0", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"://", b"http://[", b"file://", b"s3://",
    b"%2F..", b"../", b"/", b"#", b"?", b"\xe2\x80\xae", b"{", b"}", b'"', b"A" * 70_000, b"-1", b"1e999", b"NaN",
)  # fmt: skip
_VALUES = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**400, 0.5, -0.0, 1e308, "", "x", "\0", "../x", "/etc/passwd",
    "00000.tar", "\ud800", "a" * 5000, "0" * 64, "f" * 64, [], {}, [[]], {"": 0}, [0, -1, "x"],
)  # fmt: skip


def mutate_bytes(data: bytes, draw: random.Random) -> bytes:
    """Flip, insert, remove, repeat and cut, once to eight times."""
    changed = bytearray(data)
    for _ in range(draw.randint(1, 8)):
        at = draw.randint(0, len(changed))
        size = draw.choice([1, 1, 4, 64, 512])
        kind = draw.randrange(6)
        if kind == 0 and at < len(changed):
            changed[at] ^= 1 << draw.randrange(8)
        elif kind == 1:
            changed[at:at] = draw.choice(_WORDS)
        elif kind == 2:
            changed[at:at] = draw.randbytes(size)
        elif kind == 3:
            del changed[at : at + size]
        elif kind == 4:
            changed[at:at] = changed[at : at + size]
        elif draw.random() < 0.2:
            del changed[at:]
    return bytes(changed)


def mutate_json(text: str, draw: random.Random) -> bytes:
    """Replace, remove, add and copy values of a JSON document; sometimes change its bytes."""
    document = json.loads(text)
    for _ in range(draw.randint(1, 3)):
        containers = list(_list_containers(document))
        container = draw.choice(containers)
        keys = list(container) if isinstance(container, dict) else list(range(len(container)))
        value = draw.choice(_VALUES) if draw.random() < 0.8 else draw.choice(containers)
        value = json.loads(json.dumps(value))
        kind = draw.randrange(4)
        if not keys or kind == 0:
            if isinstance(container, dict):
                container[draw.choice(("", "x", "train", "../x", "0" * 300))] = value
            else:
                container.append(value)
        elif kind == 1:
            del container[draw.choice(keys)]
        else:
            container[draw.choice(keys)] = value
    data = json.dumps(document, ensure_ascii=draw.random() < 0.9).encode("utf-8", "surrogatepass")
    return mutate_bytes(data, draw) if draw.random() < 0.2 else data


def _list_containers(value: Any) -> Any:
    if isinstance(value, dict | list):
        yield value
        for part in value.values() if isinstance(value, dict) else value:
            yield from _list_containers(part)
