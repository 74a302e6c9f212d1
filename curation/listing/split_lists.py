"""The official split lists: train.txt, val.txt and test.txt with one uri or file name a line."""

import hashlib
from pathlib import Path

from curation.errors import ListingError
from curation.listing.forms.tgif import decode_lines
from curation.listing.names import file_name
from shards.schema import SPLITS


def read_split_lists(folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Return ({uri or file name: split}, {list: SHA-256}). On conflict, test wins over val, and val over train."""
    if not folder.is_dir():
        raise ListingError(f"--splits {folder} is not a folder")
    members: dict[str, str] = {}
    hashes = {}
    for split in SPLITS:
        path = folder / f"{split}.txt"
        if not path.exists():
            continue
        data = read_file(path, "split list")
        hashes[path.name] = hashlib.sha256(data).hexdigest()
        for line in decode_lines(path, data):
            if uri := line.strip():
                members[uri] = members[file_name(uri)] = split
    if not hashes:
        raise ListingError(f"--splits {folder} holds none of {', '.join(f'{name}.txt' for name in SPLITS)}")
    return members, hashes


def read_file(path: Path, what: str) -> bytes:
    """Return the bytes of a listing or a split list. Raises ListingError; `what` names the file in its message."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ListingError(f"there is no {what} {path}") from None
    except IsADirectoryError:
        raise ListingError(f"the {what} {path} is a folder; a file was expected") from None
    except OSError as error:
        raise ListingError(f"cannot read the {what} {path}: {error.strerror}") from error
