"""Keeps what a scan of text files found in a folder, so that a later run on the same files need not read them again.

A kept scan is `scan-NAME.safetensors`, the name made from the files' paths and the options of the scan: tensors `ids`
(int32, as in EncodedCorpus), `words` (UTF-8), `offsets` and `counts`; the ledger and the fingerprint are JSON in the
metadata. It is written beside an older one, synced and renamed, and checksums hold all of it. Nothing in it is run.
"""

import hashlib
import itertools
import json
import os
import stat
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from w2vfast.corpus import EncodedCorpus, Ledger, expand_inputs, scan
from w2vfast.errors import InputError
from w2vfast.files import write_synced
from w2vfast.formats.safetensors import PIECE_BYTES, pieces
from w2vfast.formats.words import encode
from w2vfast.kernels.mapped import blocks, release
from w2vfast.ranks import Ranks
from w2vfast.vocab import Vocab

FORMAT = "w2vfast scan"
VERSION = 1  # of the file, and of what a scan makes of a text
SAMPLES = 16  # places of a file that are compared byte by byte: its beginning, its end, and between them
SAMPLE_BYTES = 1 << 12


def scan_kept(
    inputs: Sequence[str | os.PathLike[str]],
    folder: Path,
    *,
    min_count: int,
    max_vocab_size: int | None,
    max_final_vocab: int | None,
    vocab: Vocab | None,
    memory_limit: int,
    workers: int,
    force: bool,
    progress: Callable[[int, int | None], None] | None = None,
    ranks: Ranks | None = None,
) -> EncodedCorpus:
    """Do as `corpus.scan`, or return what an earlier call kept in `folder` of the same files with the same options.

    Files are the same where their paths, sizes, times of change and samples of their bytes are; others are read anew,
    which is warned of, and what was kept of them is replaced. Pipes are read each time. A kept scan that is damaged, or
    cannot be written, is warned of too. Raises InputError as `scan` does, and if the folder does not exist.
    """
    options: dict[str, Any] = {
        "min_count": min_count, "max_vocab_size": max_vocab_size, "max_final_vocab": max_final_vocab, "vocab": vocab,
    }  # fmt: skip
    if not folder.is_dir():
        raise InputError(f"cannot keep the scan in {folder}: there is no such folder; create it, or name another one")
    files = expand_inputs(inputs)
    told = options | {"force": force} | ({} if ranks is None else {"part": [ranks.rank, ranks.size]})
    known = fingerprint(files, told)
    if known is not None:
        name = _sum_of([known["options"], [file["path"] for file in known["files"]]])[:16]
        path = folder / f"scan-{name}.safetensors"
        kept = _find(path, known)
        if ranks is not None and not all(ranks.objects(kept is not None)):
            kept = None  # all read, or none: they merge what they read
        if kept is not None:
            return kept
    corpus = scan(
        inputs,
        **options,
        cache_dir=folder,
        memory_limit=memory_limit,
        workers=workers,
        force=force,
        progress=progress,
        ranks=ranks,
    )
    if known is None:
        return corpus
    if fingerprint(files, told) != known:
        corpus.close()
        raise InputError("the text changed while it was read: start again when it is complete, or train on a copy")
    return _keep(corpus, path, known)


def fingerprint(files: Sequence[Path | str], options: dict[str, Any]) -> dict[str, Any] | None:
    """Return by what files and the options of their scan are known again; None if one is no regular file."""
    found = []
    for file in files:
        if isinstance(file, str):
            return None
        try:
            if not stat.S_ISREG(os.stat(file).st_mode):  # a pipe that is opened is one whose writer has been met
                return None
            with open(file, "rb", buffering=0) as opened:
                status = os.fstat(opened.fileno())
                samples = hashlib.sha256()
                last = max(0, status.st_size - SAMPLE_BYTES)
                for place in sorted({last * i // (SAMPLES - 1) for i in range(SAMPLES)}):
                    opened.seek(place)
                    samples.update(opened.read(SAMPLE_BYTES))
        except OSError as error:
            raise InputError(f"cannot read {file}: {error.strerror}") from error
        entry = {"path": os.path.realpath(file), "size": status.st_size, "changed": status.st_mtime_ns}
        found.append(entry | {"samples": samples.hexdigest()})
    vocab = options["vocab"]
    given = None if vocab is None else _sum_of([vocab.words, vocab.counts.tolist()])
    return {"files": found, "options": options | {"vocab": given}}


def refuse_other_texts(inputs: Sequence[str | os.PathLike[str]], ranks: Ranks) -> None:
    """Raise InputError, which shows the difference, if ranks have other files, or other text in them."""
    known = fingerprint(expand_inputs(inputs), {"vocab": None})
    files = [] if known is None else known["files"]
    texts = {Path(file["path"]).name: f"{file['size']:,} bytes, samples {file['samples'][:8]}" for file in files}
    ranks.agree({"files": len(files)} | texts, "give all the same text")


def _find(path: Path, known: dict[str, Any]) -> EncodedCorpus | None:
    """Return what is kept at `path`, None if nothing is or it is not usable, which is warned of."""
    from safetensors import SafetensorError

    try:
        about, corpus = _read(path, known)
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        warnings.warn(f"the kept scan {path} is damaged ({error}): the text is read again", stacklevel=4)
        return None
    if corpus is None:
        changed = [
            f"{now['path']} ({name}: {str(then[name])[:20]} / {str(now[name])[:20]})"
            for then, now in zip(about["fingerprint"]["files"], known["files"], strict=True)
            for name in now
            if then[name] != now[name]
        ]
        warnings.warn(
            f"the text has changed since {path} was kept of it (then / now): {'; '.join(changed[:3])}: it is "
            "read again",
            stacklevel=4,
        )
    return corpus


def _read(path: Path, known: dict[str, Any]) -> tuple[dict[str, Any], EncodedCorpus | None]:
    """Return what a kept scan says of itself, and its corpus, None if it is of another state of the text."""
    from safetensors import safe_open

    with open(path, "rb") as raw:
        length = int.from_bytes(raw.read(8), "little")
        with safe_open(os.fspath(path), framework="numpy") as file:  # refuses offsets that lie outside the file
            metadata = file.metadata() or {}
            if (metadata.get("format"), metadata.get("version")) != (FORMAT, str(VERSION)):
                raise ValueError("it is no scan of this version")
            about = json.loads(metadata["about"])
            if metadata["sha256"] != _sum_of(about):
                raise ValueError("its checksum does not hold")
            if about["fingerprint"] != known:
                return about, None
            text, offsets, counts = (file.get_tensor(name) for name in ("words", "offsets", "counts"))
            n = file.get_slice("ids").get_shape()[0]
        start = json.loads(raw.read(length))["ids"]["data_offsets"][0]
        tokens = np.memmap(raw, dtype="<i4", mode="r", offset=8 + length + start, shape=(n,))
    if sum_of_ids(tokens) != about["ids_sha256"] or _sum_of_words(text, offsets, counts) != about["words_sha256"]:
        raise ValueError("its checksum does not hold")
    bounds, data = offsets.tolist(), text.tobytes()
    vocab = Vocab([data[a:b].decode() for a, b in itertools.pairwise(bounds)], counts)
    ledger = Ledger(**about["ledger"])
    return about, EncodedCorpus(tokens, vocab, ledger, about["sentences"], about["ids_sha256"], path)


def _keep(corpus: EncodedCorpus, path: Path, known: dict[str, Any]) -> EncodedCorpus:
    """Write a scan and return it, its ids mapped from there; if it cannot be written warn, and return it as it was."""
    encoded = encode(corpus.vocab.words)
    tensors: dict[str, NDArray[Any]] = {
        "offsets": np.cumsum([0, *map(len, encoded)], dtype=np.int64),
        "counts": corpus.vocab.counts,
        "ids": corpus.tokens,
        "words": np.frombuffer(b"".join(encoded), np.uint8),
    }
    about = {
        "fingerprint": known,
        "ledger": asdict(corpus.ledger),
        "sentences": corpus.sentences,
        "ids_sha256": sum_of_ids(corpus.tokens),
        "words_sha256": _sum_of_words(tensors["words"], tensors["offsets"], tensors["counts"]),
    }
    metadata = {"format": FORMAT, "version": str(VERSION), "about": json.dumps(about), "sha256": _sum_of(about)}
    try:
        for remains in path.parent.glob(f".????????.{path.name}"):  # of a run that was killed
            remains.unlink(missing_ok=True)
        write_synced(path, _releasing(pieces(tensors, metadata), corpus.tokens))
    except (OSError, InputError) as error:
        cause = (error.strerror if isinstance(error, OSError) else None) or error
        warnings.warn(
            f"the scan is not kept in {path.parent}: {cause}; training goes on, and a later run reads the text again",
            stacklevel=4,
        )
        corpus.ids_sha256 = str(about["ids_sha256"])
        return corpus
    corpus.close()  # before the copy of it is mapped: where it lay in a file, that space is free now
    kept = _read(path, known)[1]
    assert kept is not None
    return kept


def sum_of_ids(tokens: NDArray[np.int32]) -> str:
    """Return the checksum of ids, which may lie in a file; about a second a gigabyte."""
    checksum = hashlib.sha256()
    for _, block in blocks(tokens, PIECE_BYTES // 4):
        checksum.update(np.ascontiguousarray(block).data)
    return checksum.hexdigest()


def _sum_of_words(*arrays: NDArray[Any]) -> str:
    checksum = hashlib.sha256()
    for array in arrays:
        checksum.update(np.ascontiguousarray(array).data)
    return checksum.hexdigest()


def _sum_of(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _releasing(data: Iterator[bytes | memoryview], tokens: NDArray[np.int32]) -> Iterator[bytes | memoryview]:
    for piece in data:
        yield piece
        release(tokens)
