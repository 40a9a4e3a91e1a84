"""Every token is accounted for, whatever the text: read, kept and dropped by the scan, trained and subsampled by a run.

Counts are held to plain loops over the same bytes, and tokens trained to the plan's random numbers.
"""

import dataclasses
import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, reject, settings
from hypothesis import strategies as st

from w2vfast import backends, corpus, jobs, plan, trainer
from w2vfast.config import Config
from w2vfast.corpus import native_unavailable_reason, scan
from w2vfast.errors import InputError, Stopped, TooFewWordsError
from w2vfast.kernels.contract import ID_MASK
from w2vfast.kernels.philox import PURPOSE_TOKEN, philox4x32
from w2vfast.run import Run
from w2vfast.vocab import Vocab

SCANNERS = ["python", *(["native"] if native_unavailable_reason() is None else [])]
BACKEND = next(name for name in ("native", "torch") if backends.unavailable_reason(name) is None)
PROFILES = [
    pytest.param({"examples": 20, "longest_word": 3_000, "longest_line": 2_000}, id="small"),
    pytest.param(
        {"examples": 300, "longest_word": 100_000, "longest_line": 200_000}, id="large", marks=pytest.mark.slow
    ),
]
RELAXED = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None, "phases": [Phase.generate]}

LETTERS = [b"a", b"b", b"\xc3\xa9", b"\xe6\x97\xa5", b"\xf0\x9f\x98\x80", b"\x00", b"\x01", b"\x1c", b"\x85", b"\xa0"]
LETTERS += [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xef\xbf\xbd"]
ENDS = [b"\n", b"\r\n", b"\r", b"\n\r", b"\x0b", b"\x0c", b"\n\n\n", b" \n\t", b""]
COMMON = [b"the", b"of", b"the", b"of", b"and", b"sixteen-bytes-xx", b"\xff\xfe", b"\xff\xfd", b"\xc3\xa9t\xc3\xa9"]


def words(longest):
    """Words as what is repeated and to how many bytes, 1 to `longest`; some words occur in every text."""
    odd = st.lists(st.sampled_from(LETTERS), min_size=1, max_size=6).map(b"".join)
    lengths = st.sampled_from([1, 2, 8, 15, 16, 17, 63, 64, 65, 4095, 4097, longest])
    common = st.sampled_from(COMMON).map(lambda word: (word, len(word)))
    return common | odd.map(lambda word: (word, len(word))) | st.tuples(odd, lengths)


def texts(longest_word, longest_line):
    """Lines of no word to `longest_line`, whatever ends them: words, what parts them, how often they come, the end."""
    return st.lists(
        st.tuples(
            st.lists(words(longest_word), max_size=8),
            st.sampled_from([b" ", b"\t", b"  ", b" \r", b"\x0b"]),
            st.sampled_from([1, 1, 1, 5, longest_line // 8]),
            st.sampled_from(ENDS),
        ),
        max_size=12,
    )


def written(lines):
    """Return the bytes of such lines, and words that min_count cannot take away."""
    made = []
    for few, between, times, end in lines:
        row = [(word * length)[:length] for word, length in few]
        # Long words do not come often, or a text would be of gigabytes.
        made.append(between.join(row * (times if sum(map(len, row)) < 200 else 1)) + end)
    return b"".join(made) + b" the of the of the of the of the"


def counted(files):
    """Return how often each word (as it is shown) occurs, and how many words are no UTF-8, in the plainest way."""
    counts, undecodable = Counter(), 0
    for text in files:
        for word in text.removeprefix(b"\xef\xbb\xbf").split():
            shown = word.decode(errors="replace")
            counts[shown] += 1
            undecodable += shown.encode() != word
    return counts, undecodable


@pytest.mark.parametrize("scanner", SCANNERS)
@pytest.mark.parametrize("profile", PROFILES)
def test_the_scan_accounts_for_every_word(profile, scanner, tmp_path):
    made = texts(profile["longest_word"], profile["longest_line"])

    @settings(max_examples=profile["examples"], **RELAXED)
    @given(
        files=st.lists(made, min_size=1, max_size=3),
        min_count=st.integers(1, 4),
        workers=st.sampled_from([1, 2, 3, 8]),
        block=st.sampled_from([1, 7, 64, 4096, None]),
        given_words=st.none() | st.sampled_from([["the", "of"], ["of", "never", "the", "\ufffd"]]),
        bound=st.sampled_from([None, None, 2, 5, 1000]),
    )
    def check(files, min_count, workers, block, given_words, bound):
        bodies = [written(lines) for lines in files]
        if block is not None and sum(map(len, bodies)) > 100_000:
            block = max(block, 4096)
        paths = [tmp_path / str(number) for number in range(len(bodies))]
        for path, body in zip(paths, bodies, strict=True):
            path.write_bytes(body)
        counts, undecodable = counted(bodies)
        vocab = None if given_words is None else Vocab(given_words, np.arange(len(given_words), 0, -1) + 4)
        options = {
            "min_count": min_count,
            "workers": workers,
            "force": True,
            "scanner": scanner,
            "max_vocab_size": bound,
        }
        try:
            scanned = scan(paths, vocab=vocab, _block_bytes=block, **options)
        except TooFewWordsError:  # the bound dropped all but one
            assert bound is not None
            reject()
        with scanned as found:
            ledger = found.ledger
            assert ledger.read == counts.total() == ledger.in_vocabulary + ledger.out_of_vocabulary
            assert ledger.undecodable == undecodable
            assert ledger.in_vocabulary == len(found.tokens)
            kept = np.bincount(found.tokens & ID_MASK, minlength=len(found.vocab))
            if vocab is not None:
                of_words = {word: int(n) for word, n in zip(found.vocab.words, kept, strict=True)}
                if bound is not None and "\ufffd" in of_words:  # what is no UTF-8 may have been dropped as rare
                    assert of_words.pop("\ufffd") <= counts["\ufffd"]
                assert of_words == {word: counts[word] for word in of_words}
            else:
                assert kept.tolist() == found.vocab.counts.tolist()
                if bound is None:
                    assert dict(zip(found.vocab.words, kept.tolist(), strict=True)) == {
                        word: count for word, count in counts.items() if count >= min_count
                    }
                else:
                    assert all(kept[i] <= counts[word] for i, word in enumerate(found.vocab.words))

    check()


def trained_by_plan(job, epochs):
    """Return how many tokens subsampling keeps, by the random numbers of the contract: one a position and epoch."""
    positions = np.arange(len(job.tokens), dtype=np.uint64)
    threshold = job.keep_threshold[job.tokens & ID_MASK]
    return sum(
        int((philox4x32(job.seed, positions, positions * 0, epoch, PURPOSE_TOKEN)[:, 0] <= threshold).sum())
        for epoch in range(epochs)
    )


def sentences_of(lengths, types, seed):
    rng = np.random.default_rng(seed)
    return [["the", "of"], *([f"w{i}" for i in rng.zipf(1.3, n).clip(max=types)] for n in lengths)]


@pytest.mark.parametrize("backend", [name for name in ("native", "torch") if not backends.unavailable_reason(name)])
@pytest.mark.parametrize(
    "profile", [pytest.param((6, 3_000), id="small"), pytest.param((100, 60_000), id="large", marks=pytest.mark.slow)]
)
def test_a_run_accounts_for_every_token_across_stop_and_resume(profile, backend, tmp_path_factory):
    examples, longest = profile

    @settings(max_examples=examples, **RELAXED)
    @given(
        lengths=st.lists(st.sampled_from([0, 1, 2, 7, 255, 256, 257, longest]), min_size=1, max_size=12),
        sample=st.sampled_from([0.0, 1e-3, 1e-2]),
        mode=st.sampled_from(["sg", "cbow"]),
        workers=st.sampled_from([1, 2, 3] if backend == "native" else [1]),
        stops=st.lists(st.integers(1, 4), max_size=3),
        min_count=st.integers(1, 2),
        seed=st.integers(0, 5),
    )
    def check(lengths, sample, mode, workers, stops, min_count, seed):
        text = sentences_of([*lengths, 40], 200, seed)
        read = sum(map(len, text))
        folder = tmp_path_factory.mktemp("state")
        config = Config(
            backend=backend, mode=mode, vector_size=4, sample=sample, min_count=min_count, epochs=2, workers=workers,
            seed=seed, checkpoint=str(folder), resume=True,
        )  # fmt: skip
        try:
            with corpus.encode_sentences(text, min_count=min_count) as encoded:
                job = jobs.prepare(encoded, config, backends.choose(config)).job
                expected, kept = trained_by_plan(job, 2), len(encoded.tokens)
        except InputError:  # fewer than two words reach min_count
            return
        for after in stops:
            advances = itertools.count(1)
            try:
                trainer.train_sentences(text, config, stop=lambda n=advances, a=after: next(n) >= a)
            except Stopped:
                continue
            break
        result = trainer.train_sentences(text, config)
        tokens = result.tokens
        assert tokens["read"] == read == tokens["in_vocabulary"] + tokens["out_of_vocabulary"]
        assert tokens["in_vocabulary"] == kept
        assert tokens["trained"] == expected
        assert tokens["trained"] + tokens["subsampled"] == 2 * kept
        assert result.epochs_visited == 2

    check()


@pytest.mark.parametrize("chunk_size", [1, 2, 63, 256, 4096])
@pytest.mark.parametrize("workers", [1, 3])
def test_any_size_of_chunk_accounts_for_every_token(chunk_size, workers):
    if BACKEND != "native" and workers > 1:
        pytest.skip("torch has no workers")
    config = Config(backend=BACKEND, vector_size=4, sample=1e-2, min_count=1, epochs=1, workers=workers)
    with corpus.encode_sentences(sentences_of([0, 1, 900, 3, 0, 300], 50, 1), min_count=1) as encoded:
        choice = backends.choose(config)
        work = jobs.prepare(encoded, config, choice)
        work = dataclasses.replace(work, job=dataclasses.replace(work.job, chunk_size=chunk_size))
        V = len(encoded.vocab)
        tables = plan.initial_vectors(V, 4, 1), np.zeros((V, 4), np.float32)
        run = Run(work, backends.create_step(choice, work.job, *tables, workers), config)
        while not run.finished:
            run.advance()
        assert run.state.visited == len(encoded.tokens) == 1206
        assert run.state.trained == trained_by_plan(work.job, 1)


@pytest.mark.slow
@pytest.mark.parametrize("scanner", SCANNERS)
def test_a_line_of_ten_million_tokens(scanner, tmp_path):
    line = np.random.default_rng(1).zipf(1.2, 10_000_000).clip(max=50_000)
    names = np.array([f"w{i}" for i in range(50_001)])
    path = tmp_path / "line"
    path.write_text(" ".join(names[line].tolist()) + " end\nthe last line")
    with scan([path], min_count=3, workers=2, scanner=scanner) as found:
        counts = np.bincount(line)
        kept = int(counts[counts >= 3].sum())
        assert vars(found.ledger) == {
            "read": 10_000_004, "in_vocabulary": kept, "out_of_vocabulary": 10_000_004 - kept, "undecodable": 0
        }  # fmt: skip
        assert len(found.tokens) == kept
        assert found.sentences == 1
        config = Config(backend=BACKEND, vector_size=4, epochs=1, workers=2 if BACKEND == "native" else 1)
        result = trainer.train_corpus(found, config)
        assert result.tokens["trained"] + result.tokens["subsampled"] == kept
