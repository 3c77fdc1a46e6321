"""The reply cache: replies of language models, kept because they are expensive to generate.

One SQLite file. The key is a digest of everything that a reply depends on: model, prompt,
generation settings and scope. The prompt contains the note and the strategy's prompt template;
settings that only affect how a reply is parsed are not in the key, so that changing them does not
call the model again.

Every reply is stored with its own checksum, and the file's structure is checked when it is
opened: a damaged file is refused. Replies may contain patient text; prompts are not stored, and
only the owner can read the file.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from hashlib import blake2b
from pathlib import Path

from patientdx.errors import CacheError
from patientdx.protocols import GenerationSettings, Prompt
from patientdx.storage.row_store import Message, RowStore, StoreFormat

_KEY_BYTES = 32
_CHECKSUM_BYTES = 16
_SQLITE_HEADER = b"SQLite format 3\0"
_SUFFIXES = frozenset({".sqlite", ".sqlite3", ".db"})
_COMPANION_SUFFIXES = ("-journal", "-wal", "-shm")
_CLEAR_HINT = "remove the cached replies: expand --clear"

_FORMAT = StoreFormat(
    table="replies",
    schema="CREATE TABLE replies (key BLOB PRIMARY KEY, reply BLOB NOT NULL, sum BLOB NOT NULL)",
    application_id=0x50645843,  # "PdXC"
    version=1,
    foreign=Message("this is not a reply cache", "choose another file"),
    other_version=Message("the reply cache has another version", _CLEAR_HINT),
    damaged=Message("the reply cache is damaged", _CLEAR_HINT),
    unusable=Message(
        "the reply cache cannot be used",
        "choose another location, or run without a cache: --no-cache",
    ),
)


def reply_key(
    digest: str, prompt: str | Prompt, settings: GenerationSettings, scope: str = ""
) -> bytes:
    """The cache key of a reply; `scope` names anything else that may change the reply."""
    # Where the note begins and ends matters: a note that does not fit is shortened.
    prompt_parts = prompt if isinstance(prompt, str) else [prompt.before, prompt.note, prompt.after]
    parts = json.dumps([digest, prompt_parts, asdict(settings), scope], sort_keys=True)
    return blake2b(parts.encode("ascii"), digest_size=_KEY_BYTES).digest()


class ReplyCache(RowStore):
    """An open cache. Several processes may use one file; each `store` is one transaction.

    Raises CacheError if the file is damaged, is not a reply cache, or cannot be used.
    """

    def __init__(self, path: Path | str) -> None:
        super().__init__(path, _FORMAT)

    def find(self, keys: Sequence[bytes]) -> dict[bytes, str]:
        """The cached replies, by key. Raises CacheError if one of them is damaged."""
        replies: dict[bytes, str] = {}
        with self.cache_errors():
            for key, reply, checksum in self.read_rows(keys):
                if not isinstance(reply, bytes) or _checksum(key, reply) != checksum:
                    raise self.damage_error()
                replies[key] = reply.decode("utf-8")
        return replies

    def store(self, replies: Mapping[bytes, str]) -> None:
        """Stores replies, all or none, and returns once they are on disk."""
        rows = [(key, text.encode("utf-8", "replace")) for key, text in replies.items()]
        self.write_rows([(key, reply, _checksum(key, reply)) for key, reply in rows])


def clear_cache(path: Path | str) -> bool:
    """Removes a cache, damaged or not. Returns whether there was one.

    Raises CacheError if it cannot be removed or does not look like a cache.
    """
    target = Path(path)
    try:
        existed = target.exists()
        if existed and not _looks_like_cache(target):
            hint = "remove it by hand if you no longer need it"
            raise CacheError(f"{target}: this is not a reply cache", hint=hint)
        for name in (target.name, *(target.name + end for end in _COMPANION_SUFFIXES)):
            target.with_name(name).unlink(missing_ok=True)
    except OSError as error:
        problem = f"{target}: the reply cache cannot be removed: {error.strerror}"
        raise CacheError(problem, hint="check its permissions") from error
    return existed


def _looks_like_cache(path: Path) -> bool:
    """Judges by the name or by SQLite's header: a damaged cache may have lost either."""
    with path.open("rb") as stream:
        return path.suffix in _SUFFIXES or stream.read(len(_SQLITE_HEADER)) in {b"", _SQLITE_HEADER}


def _checksum(key: bytes, reply: bytes) -> bytes:
    return blake2b(key + reply, digest_size=_CHECKSUM_BYTES).digest()
