"""T, N and tokens in flight: the documented rules, at the sizes where they change."""

import dataclasses

import pytest

from w2vfast import jobs, tiles
from w2vfast.backends import Choice
from w2vfast.config import Config
from w2vfast.corpus import encode_sentences
from w2vfast.errors import InputError

LARGE = {"trained_tokens": 70e6, "corpus_tokens": 18_000_000, "vocabulary": 85_000}


def choose(config, backend="native", device="cpu", **sizes):
    return tiles.choose(config, backend, device, **(LARGE | sizes))


@pytest.mark.parametrize(
    ("options", "backend", "sizes", "early"),
    [
        ({}, "native", {}, 16),
        ({"vector_size": 300, "deterministic": True}, "native", {}, 16),
        ({}, "torch", {}, 32),
        ({}, "triton", {}, 32),
        ({"mode": "cbow"}, "native", {}, 16),  # its N
        ({"objective": "nce"}, "native", {}, 32),
        ({"preset": "fast"}, "native", {}, 16),
        ({"shared_negatives": 32}, "native", {}, 32),
        ({"bits": 1}, "native", {}, 32),
        ({"window": 10}, "native", {}, 64),
        ({"negative": 15}, "native", {}, 96),
        ({"eval_every": 1.0, "patience": 2}, "native", {}, 32),
        ({"eval_every": 1.0, "keep_best": True}, "native", {}, 32),
        ({}, "native", {"corpus_tokens": 999_999}, 64),
        ({}, "native", {"trained_tokens": 23e6, "corpus_tokens": 6_000_000}, 32),
        ({"mode": "cbow", "early_negatives": 4}, "torch", {}, 4),
        ({"window": 10, "early_negatives": 64}, "native", {}, 64),
    ],
)
def test_negatives_grow_where_it_was_measured(options, backend, sizes, early):
    assert (
        choose(Config(**options), backend, "cuda" if backend == "triton" else "cpu", **sizes).early_negatives == early
    )


def test_negatives_do_not_grow_in_ranks(themed_sentences):
    corpus = encode_sentences(themed_sentences, min_count=1)
    settings = dataclasses.replace(choose(Config()), early_negatives=16)
    for ranks, options, early in ((1, {}, 16), (2, {}, 32), (2, {"early_negatives": 16}, 16)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tiles, "choose", lambda *_: settings)
            work = jobs.prepare(corpus, Config(**options), Choice("native", "cpu", "a test"), ranks=ranks)
        assert (work.early_words, work.shared_words) == (early, 32)


def test_defaults():
    settings = choose(Config(workers=1))
    assert (settings.tile, settings.shared_negatives, settings.tokens_in_flight) == (64, 32, 64)
    assert (settings.row_cap, settings.static_cap) == ("tile", False)
    assert choose(Config(mode="cbow", workers=1)).shared_negatives == 16
    wide = choose(Config(window=10))
    assert (wide.tile, wide.shared_negatives) == (16, 64)
    wide = choose(Config(mode="cbow", window=10))
    assert (wide.tile, wide.shared_negatives) == (64, 32)


@pytest.mark.parametrize(
    ("window", "negative", "alpha"), [(10, 5, 0.025), (5, 15, 0.025), (10, 20, 0.05), (50, 5, 0.025)]
)
@pytest.mark.parametrize("backend", ["native", "torch", "triton"])
@pytest.mark.parametrize("mode", ["sg", "cbow"])
def test_the_lump_stays_bounded(mode, backend, window, negative, alpha):
    config = Config(mode=mode, window=window, negative=negative, alpha=alpha)
    settings = choose(config, backend)
    largest = tiles.LARGEST_LUMP[mode][backend] * (1 + 1e-9)
    assert tiles.lump(config, settings.tile, settings.shared_negatives) <= largest
    assert settings.shared_negatives % 16 == 0


def test_cbow_has_short_tiles_where_a_gpu_is_faster_so():
    def tile(**options):
        return choose(Config(**options), "triton", "cuda", short_tiles=True).tile

    assert tile(mode="cbow") == tile(mode="cbow", objective="nce") == 16
    assert tile() == tile(mode="cbow", shared_negatives=32) == tile(mode="cbow", window=10) == 32
    assert tile(mode="cbow", tile=64) == tile(mode="cbow", preset="fast") == 64
    assert choose(Config(mode="cbow"), "triton", "cuda").tile == 32


def test_small_corpora_share_more_negatives():
    """Few tokens, or a long text of few words."""
    for small in (choose(Config(), vocabulary=1999), choose(Config(mode="cbow"), vocabulary=889)):
        assert (small.tile, small.shared_negatives) == (32, 64)
    assert choose(Config(), vocabulary=2000).shared_negatives == 32
    small = choose(Config(), corpus_tokens=999_999)
    assert (small.tile, small.shared_negatives) == (32, 64)
    assert choose(Config(mode="cbow"), corpus_tokens=999_999).shared_negatives == 64
    assert choose(Config(), corpus_tokens=1_000_000).shared_negatives == 32


def test_trees_have_long_tiles_on_native():
    tree = Config(objective="hierarchical-softmax")
    assert choose(tree).tile == choose(Config(mode="cbow", objective="hierarchical-softmax")).tile == 128
    assert choose(tree, corpus_tokens=999_999).tile == choose(tree, "torch").tile == 32
    assert choose(Config(objective="hierarchical-softmax,negative-sampling")).tile == 64
    assert choose(Config(objective="hierarchical-softmax", tile=48)).tile == 48


def test_several_threads_add_the_static_count():
    settings = choose(Config(workers=4))
    assert (settings.tokens_in_flight, settings.static_cap) == (256, True)


def test_tokens_in_flight_leave_enough_batches():
    torch = choose(Config(), "torch")
    assert (torch.tokens_in_flight, torch.row_cap, torch.static_cap) == (4096, "batch", False)
    assert choose(Config(), "torch", trained_tokens=3e6).tokens_in_flight == 992  # a whole number of tiles up to 1,000
    assert choose(Config(), "torch", trained_tokens=10).tokens_in_flight == 32
    triton = choose(Config(), "triton", "cuda")
    assert (triton.tokens_in_flight, triton.row_cap, triton.static_cap) == (16384, "tile", True)
    assert choose(Config(), "triton", "cuda", trained_tokens=6e6).tokens_in_flight == 1984


def test_native_refuses_another_number_in_flight():
    assert choose(Config(workers=2, tokens_in_flight=128)).tokens_in_flight == 128
    with pytest.raises(InputError, match="one tile a worker"):
        choose(Config(workers=2, tokens_in_flight=4096))


def test_the_users_choice_holds():
    settings = choose(Config(tile=48, shared_negatives=8, tokens_in_flight=100), "torch")
    assert (settings.tile, settings.shared_negatives, settings.tokens_in_flight) == (48, 8, 96)


def test_the_fast_preset_takes_longer_tiles_with_fewer_negatives():
    assert choose(Config(preset="fast")).shared_negatives == 16
    assert choose(Config(preset="fast")).tile == 64
    assert choose(Config(preset="fast", mode="cbow")).shared_negatives == 8
    assert choose(Config(preset="fast", tile=32)).tile == 32
