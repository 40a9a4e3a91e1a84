"""Options: bounds, defaults against gensim's, the command line built from them, other tools' spellings."""

import dataclasses
import inspect
import math

import pytest

from w2vfast.config import BOTH, TEACHER_WEIGHT, Config, flag
from w2vfast.config import HIERARCHICAL as TREE
from w2vfast.errors import InputError
from w2vfast.train import build_parser, parse


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("window", 0),
        ("vector_size", 0),
        ("vector_size", 65537),
        ("epochs", 0),
        ("workers", 0),
        ("workers", -1),
        ("negative", 0),
        ("sample", -1e-3),
        ("sample", math.nan),
        ("alpha", 0.0),
        ("alpha", math.inf),
        ("alpha", math.nan),
        ("min_alpha", -1.0),
        ("min_count", 0),
        ("seed", -1),
        ("seed", 2**64),
        ("tile", 0),
        ("cap", 0.0),
        ("window", 2.5),
        ("epochs", True),
        ("mode", "glove"),
        ("backend", "cuda"),
        ("device", "tpu"),
        ("device", "cuda:x"),
        ("device", "cpu:1"),
    ],
)
def test_values_out_of_range_are_refused_by_name(name, value):
    with pytest.raises(InputError, match=name):
        Config(**{name: value})


def test_min_alpha_above_alpha_is_refused():
    with pytest.raises(InputError, match="min_alpha"):
        Config(alpha=0.001, min_alpha=0.01)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cbow_mean": False}, "cbow_mean is cbow's"),
        ({"log_z": 1.0}, "log_z is nce's"),
        ({"preset": "fast", "tile": 8, "shared_negatives": 8}, "preset fast chooses"),
        ({"eval_every": 2, "epochs": 1}, "past the run's 1 epochs"),
        ({"patience": 2}, "give eval_every too"),
        ({"resume": True}, "name their folder with checkpoint too"),
        ({"read_vocab": "v", "max_vocab_size": 9}, "max_vocab_size"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_options_that_would_be_ignored_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        Config(**options)


def test_defaults_are_gensims():
    from gensim.models import Word2Vec

    theirs = inspect.signature(Word2Vec).parameters
    ours = {field.name: getattr(Config(), field.name) for field in dataclasses.fields(Config)}
    shared = sorted(set(theirs) & set(ours) - {"workers"})
    assert len(shared) >= 13
    ours["negative"] = Config().negatives
    for name in shared:
        assert ours[name] == theirs[name].default, name


def test_every_option_is_a_flag_that_sets_it():
    """Give each flag a value that is not its default and find it in the config."""
    values = {
        "mode": "cbow", "vector_size": 7, "window": 3, "objective": "nce", "log_z": 2.5, "negative": 2,
        "sample": 0.5, "min_count": 2, "max_vocab_size": 500, "max_final_vocab": 400, "epochs": 9, "alpha": 0.5,
        "min_alpha": 0.25,
        "ns_exponent": -0.5, "seed": 77, "workers": 3, "backend": "torch", "device": "cpu", "tile": 8,
        "tokens_in_flight": 99, "cap": 1.5, "cache_dir": "x", "cache_above": 10,
        "save_vocab": "v", "checkpoint": "c", "checkpoint_every": 2.5,
        "exchange_every": 5000, "alpha_scale": 1.5, "rank_timeout": 60.0,
        "eval_every": 0.5, "eval_set": "simlex999", "patience": 3, "preset": "fast", "bits": 2,
    }  # fmt: skip
    argv = [word for name, value in values.items() for word in (flag(name), str(value))]
    flags = ["--no-cbow-mean", "--no-shrink-windows", "--keep-best", "--force", "--resume", "--deterministic"]
    _, config = parse(["corpus.txt", *argv, *flags])
    expected = values | {
        "cbow_mean": False,
        "shrink_windows": False,
        "keep_best": True,
        "force": True,
        "resume": True,
        "deterministic": True,
        "read_vocab": None,
        "precision": "auto",
        "parallel": "data",
        "buckets": None,
        "teacher": None,
        "teacher_weight": TEACHER_WEIGHT,
        "teacher_temperature": 1.0,
        "teacher_partial": False,
        "shared_negatives": None,
        "early_negatives": None,
        "classes": None,
        "code": "plain",
        "code_words": None,
        "code_bits": None,
    }
    # Of other objectives: their own defaults, and each found where its objective is asked for.
    others = {
        "margin": {"mined": 3, "mine_every": 99, "mined_share": 0.25},
        "von-mises-fisher": {"targets": "t.bin", "norm_penalty": 0.5, "dot_weight": 0.5},
    }
    for objective, own in others.items():
        expected |= {name: getattr(Config(), name) for name in own}
        words = [word for name, value in own.items() for word in (flag(name), str(value))]
        _, given = parse(["corpus.txt", "--objective", objective, *words])
        assert {name: getattr(given, name) for name in own} == own
    assert dataclasses.asdict(config) == expected
    assert parse(["c", "--shared-negatives", "24"])[1].shared_negatives == 24
    assert parse(["c", "--buckets", "9"])[1].buckets == 9
    assert parse(["c", "--parallel", "dimension"])[1].parallel == "dimension"
    assert parse(["c", "--read-vocab", "v"])[1].read_vocab == "v"
    assert parse(["c", "--objective", "class-softmax", "--classes", "f"])[1].classes == "f"
    code = parse(["c", "--objective", "binary-code", "--code", "hybrid-ecc", "--code-words", "9", "--code-bits", "12"])[
        1
    ]
    assert (code.code, code.code_words, code.code_bits) == ("hybrid-ecc", 9, 12)


def test_other_tools_spellings_mean_the_same():
    word2vec_c = (
        "-train c.txt -output v.bin -size 50 -window 8 -sample 1e-4 -negative 10 -threads 2 -iter 3 -min-count 1"
    )
    fasttext = "-input c.txt -output v.bin -dim 50 -ws 8 -t 1e-4 -neg 10 -thread 2 -epoch 3 -minCount 1"
    native = (
        "c.txt -o v.bin --vector-size 50 --window 8 --sample 1e-4 --negative 10 --workers 2 --epochs 3 --min-count 1"
    )
    configs = [parse(line.split())[1] for line in (word2vec_c, fasttext, native)]
    assert configs[0] == configs[1] == configs[2]
    arguments = parse(word2vec_c.split())[0]
    assert (arguments.train, arguments.output) == ("c.txt", "v.bin")
    assert parse(["c", "-alpha", "0.1"])[1].alpha == parse(["c", "-lr", "0.1"])[1].alpha == 0.1
    assert parse(["c", "--min_count", "3"])[1].min_count == 3


@pytest.mark.parametrize(
    ("argv", "config"),
    [
        (["-hs", "1"], Config(objective=TREE)),
        (["-hs", "1", "-negative", "0"], Config(objective=TREE)),
        (["-hs", "1", "-negative", "7"], Config(objective=BOTH, negative=7)),
        (["-hs", "1", "--objective", TREE], Config(objective=TREE)),
        (["-hs", "0", "-negative", "7"], Config(negative=7)),
        (["-hs", "0", "--objective", "softmax"], Config(objective="softmax")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_word2vecs_hs_is_an_objective(argv, config):
    assert parse(["c", *argv])[1] == config


def test_aliases_do_not_change_defaults():
    assert parse(["c", "-cbow", "1"])[1] == Config(mode="cbow")
    assert parse(["c", "-cbow", "0"])[1] == Config()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["c", "--vector", "5"], "unknown option --vector"),
        (["c", "-sizes", "5"], "did you mean -size"),
        (["c", "--window", "two"], "window"),
        (["c", "--epochs"], "epochs"),
        (["c", "-cbow", "1", "--mode", "sg"], "contradicts"),
        (["c", "-hs", "2"], "hs"),
        (["c", "-hs", "1", "--objective", "nce"], "-hs 1 contradicts --objective nce"),
        (["c", "-hs", "1", "-negative", "5", "--objective", TREE], f"-hs 1 contradicts --objective {TREE}"),
        (["c", "-hs", "0", "--objective", BOTH], f"-hs 0 contradicts --objective {BOTH}"),
        (["c", "-hs", "1", "-negative", "-1"], "negative must be at least 1"),
        (["c", "-hs", "1", "--shared-negatives", "8"], f"does not go with objective {TREE}"),
        (["c", "-hs", "0", "-negative", "0"], "negative must be at least 1"),
        (["c", "--sample", "-1"], "sample must be at least 0"),
    ],
)
def test_bad_usage_is_one_line(argv, message):
    with pytest.raises(InputError, match=message) as error:
        parse(argv)
    assert "\n" not in str(error.value)


def test_help_names_every_option_with_its_default():
    text = build_parser().format_help()
    for field in dataclasses.fields(Config):
        assert flag(field.name) in text
    assert "(default: 100)" in text
