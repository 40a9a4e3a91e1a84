"""One vocabulary of what ranks found in their parts of a text, the same that one process finds in all of it.

Each distinct word (type) has a rank that counts it for all, by its bytes. A rank sends what it found as arrays: bytes,
lengths, counts and the order of first sight. Those that stay in the vocabulary go to every rank, and each learns the
new ids of its own types; no rank holds all types of all others.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from w2vfast.interner import Packed
from w2vfast.kernels.mapped import release
from w2vfast.ranks import Ranks
from w2vfast.tokens import TokenStore, renumber_with_numpy
from w2vfast.vocab import Vocab

Numbers = NDArray[np.int64]
_BLOCK_IDS = 1 << 20  # that a rank sends at a time
_RANK_BITS = 40  # of an order of first sight: below them is the type's number on the rank


@dataclass(frozen=True)
class Rules:
    """What becomes of merged counts: `select` is vocab.select_types, `number_words` the interner's or its C++ twin."""

    select: Callable[[Numbers], Numbers]
    number_words: Callable[[NDArray[np.uint8], Numbers], Numbers]
    least_count: int
    max_types: int | None


def merge_types(ranks: Ranks, packed: Packed, counts: Numbers, rules: Rules) -> tuple[Vocab, NDArray[np.int32]]:
    """Return the vocabulary of all ranks, and the id in it of each of this rank's types, -1 for those that go.

    `packed` are this rank's types in the order of first sight, as UTF-8, `counts` how often it met each; two types may
    be the same word. Past `max_types` in all, the rarest go. Raises what `select` does.
    """
    text, lengths = packed
    owner = _owners(text, lengths, ranks.size)
    order = np.argsort(owner, kind="stable")
    sizes = np.bincount(owner, minlength=ranks.size)
    sent = _take(text, lengths, order)
    bytes_to = np.cumsum([lengths[part].sum() for part in np.split(order, np.cumsum(sizes)[:-1])])[:-1]
    seen = order + (ranks.rank << _RANK_BITS)
    columns = np.stack([lengths[order], counts[order], seen], 1)
    rows = [part.reshape(-1) for part in np.split(columns, np.cumsum(sizes)[:-1])]
    found = ranks.scatter(np.split(sent, bytes_to))
    came = [part.reshape(-1, 3) for part in ranks.scatter(rows)]
    all_lengths, all_counts, all_seen = np.concatenate(came).T.copy()
    own_text = np.concatenate(found)
    numbers = rules.number_words(own_text, all_lengths)
    types = int(numbers.max()) + 1 if len(numbers) else 0
    first = np.empty(types, np.int64)
    first[numbers[::-1]] = np.arange(len(numbers))[::-1]  # the first of several is written last
    total = np.zeros(types, np.int64)
    np.add.at(total, numbers, all_counts)
    if rules.max_types is not None:
        total[total <= _rarest(np.concatenate(ranks.gather(total)), rules.max_types)] = 0
    kept = np.flatnonzero(total >= rules.least_count)
    if sum(ranks.sum([len(kept)])) < 2:  # `select` then says what there was
        kept = np.arange(types)
    candidates = ranks.gather(np.stack([total[kept], all_seen[first[kept]], all_lengths[first[kept]]], 1).reshape(-1))
    of_rank = [len(part) // 3 for part in candidates]
    vocab_counts, vocab_seen, vocab_lengths = np.concatenate(candidates).reshape(-1, 3).T.copy()
    in_order = np.argsort(vocab_seen)
    chosen = in_order[rules.select(vocab_counts[in_order])]
    texts = np.concatenate(ranks.gather(_take(own_text, all_lengths, first[kept])))
    vocab = Vocab(_words(texts, vocab_lengths, chosen), vocab_counts[chosen])
    new = np.full(len(vocab_seen), -1, np.int32)
    new[chosen] = np.arange(len(chosen), dtype=np.int32)
    begin = sum(of_rank[: ranks.rank])
    of_type = np.full(types, -1, np.int32)
    of_type[kept] = new[begin : begin + len(kept)]
    answers = np.split(of_type[numbers], np.cumsum([len(part) for part in came])[:-1])
    final = np.empty(len(lengths), np.int32)
    final[order] = np.concatenate(ranks.scatter(answers))
    return vocab, final


def gather_ids(ranks: Ranks, ids: NDArray[np.int32], store: TokenStore, types: int) -> NDArray[np.int32]:
    """Return all ranks' ids of `types` types, one rank's behind the other's, by way of a store, which is empty."""
    import torch
    import torch.distributed as dist

    lengths = [int(length) for length in np.concatenate(ranks.gather(np.array([len(ids)])))]
    for rank, length in enumerate(lengths):
        for start in range(0, length, _BLOCK_IDS):
            block = torch.empty(min(_BLOCK_IDS, length - start), dtype=torch.int32)
            if rank == ranks.rank:
                block.copy_(torch.from_numpy(np.array(ids[start : start + _BLOCK_IDS])))
                release(ids)
            with ranks.explained():
                dist.broadcast(block, rank)
            store.append(block.numpy(), False)
    return store.finish([np.arange(types, dtype=np.int32)], renumber_with_numpy, sum(lengths))


def replaced(packed: Packed, types: Numbers, words: Sequence[bytes]) -> Packed:
    """Return packed words with others in place of some, whose numbers rise."""
    text, lengths = packed
    ends = np.cumsum(lengths)
    pieces, at, lengths = [], 0, lengths.copy()
    for kind, word in zip(types.tolist(), words, strict=True):
        pieces += [text[at : ends[kind] - lengths[kind]], np.frombuffer(word, np.uint8)]
        at, lengths[kind] = int(ends[kind]), len(word)
    return np.concatenate([*pieces, text[at:]]), lengths


def _owners(text: NDArray[np.uint8], lengths: Numbers, ranks: int) -> Numbers:
    """Return the rank that counts each word, by some of its bytes."""
    ends = np.cumsum(lengths)
    mixed = lengths.astype(np.uint64)
    for share in (0.0, 0.25, 0.5, 0.75):
        at = ends - lengths + (lengths * share).astype(np.int64)
        mixed = (mixed ^ text[at]) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    mixed = (mixed ^ text[ends - 1]) * np.uint64(0x9E3779B97F4A7C15)
    return ((mixed >> np.uint64(32)) % np.uint64(ranks)).astype(np.int64)


def _take(text: NDArray[np.uint8], lengths: Numbers, order: Numbers) -> NDArray[np.uint8]:
    """Return the bytes of words in an order."""
    starts, sizes = (np.cumsum(lengths) - lengths)[order], lengths[order]
    # The step from each byte's place to the next one's: 1, but at the beginning of a word.
    steps = np.ones(int(sizes.sum()), np.int64)
    if len(steps):
        first = np.cumsum(sizes) - sizes
        steps[first] = starts - np.append(0, (starts + sizes - 1)[:-1])
    return text[np.cumsum(steps, out=steps)]


def _words(text: NDArray[np.uint8], lengths: Numbers, order: Numbers) -> list[str]:
    # No word has a newline in it: one call decodes all.
    lines = np.insert(_take(text, lengths, order), np.cumsum(lengths[order]), ord("\n"))
    return lines.tobytes().decode().split("\n")[:-1]


def _rarest(counts: Numbers, most: int) -> int:
    """Return the count up to which types must go for at most so many to be left; 0 if none must."""
    return 0 if len(counts) <= most else int(np.partition(counts, len(counts) - 1 - most)[len(counts) - 1 - most])
