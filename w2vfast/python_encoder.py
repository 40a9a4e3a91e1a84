"""Encodes sentences with a vocabulary that is given: from iterables of tokens to one stream of word ids."""

from collections.abc import Hashable, Iterable, Mapping
from itertools import chain

import numpy as np

from w2vfast.tokens import SIGN, Ids

_BLOCK_TOKENS = 1 << 16


def encode(sentences: Iterable[Iterable[Hashable]], key_to_index: Mapping[Hashable, int]) -> tuple[Ids, int, int]:
    """Return the ids of the tokens that are keys, int32 [n], and how many tokens and sentences there were in all.

    The sign bit marks the last token of a sentence. The sentences are iterated over once; what their iterator raises
    goes through.
    """
    blocks: list[Ids] = []
    batch: list[list[Hashable]] = []
    held = raw = count = 0
    for sentence in sentences:
        listed = sentence if isinstance(sentence, list) else list(sentence)
        count += 1
        raw += len(listed)
        held += len(listed)
        batch.append(listed)
        if held >= _BLOCK_TOKENS or len(batch) >= _BLOCK_TOKENS:
            blocks.append(_encoded(batch, key_to_index))
            batch, held = [], 0
    blocks.append(_encoded(batch, key_to_index))
    return np.concatenate(blocks), raw, count


def _encoded(batch: list[list[Hashable]], key_to_index: Mapping[Hashable, int]) -> Ids:
    """Return the ids of whole sentences."""
    lengths = np.fromiter(map(len, batch), np.int64, len(batch))
    last = np.cumsum(lengths) - 1
    total = int(last[-1]) + 1 if len(last) else 0
    get = key_to_index.get
    ids = np.fromiter((get(token, -1) for token in chain.from_iterable(batch)), np.int32, total)
    kept = ids >= 0
    # The last kept token up to a sentence's end; where the sentence keeps none, it has its mark already.
    ends = (np.cumsum(kept) - 1)[last[lengths > 0]]
    ids = ids[kept]
    ids[ends[ends >= 0]] |= SIGN
    return ids
