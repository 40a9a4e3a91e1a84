"""Trainers in processes of their own: figures from an account, and what each side is given."""

from pathlib import Path

import pytest

from w2vfast.errors import InputError
from w2vfast.eval import gensim_runner, trainers
from w2vfast.eval.gensim_runner import OPTIONS

ACCOUNT = {
    "settings": {"epochs": 4},
    "tokens": {"read": 1000},
    "seconds": {"scan": 0.25, "train": 2.0},
    "cpu_seconds": {"scan": 0.5, "train": 4.0},
    "peak_rss_bytes": 3_000_000,
}


def test_figures_of_an_account() -> None:
    assert trainers.figures(ACCOUNT, 9.0) == trainers.Figures(
        words_per_cpu_second=1000,
        words_per_second=2000,
        scan_words_per_cpu_second=2000,
        scan_seconds=0.25,
        train_seconds=2.0,
        total_seconds=9.0,
        peak_rss_mb=3.0,
    )


def test_only_visited_epochs_count() -> None:
    stopped = trainers.figures(ACCOUNT | {"epochs_visited": 1.5, "peak_rss_bytes": None}, 9.0)
    assert (stopped.words_per_second, stopped.words_per_cpu_second) == (750, 375)
    assert stopped.peak_rss_mb is None


@pytest.mark.parametrize("trainer", ["gensim", "torch"])
def test_a_trainer_gets_the_settings_that_it_has(trainer: str, themed_file: Path, tmp_path: Path) -> None:
    settings = {"mode": "cbow", "vector_size": 6, "min_count": 2, "epochs": 1, "workers": 1, "seed": 3, "tile": 8}
    settings |= {"cbow_mean": False, "device": None}
    account, figures = trainers.run(trainer, themed_file, tmp_path / "v.bin", settings)
    given = {name: value for name, value in settings.items() if name in OPTIONS or (trainer != "gensim" and value)}
    assert given.items() <= account["settings"].items()
    assert ("tile" in account["settings"]) is (trainer != "gensim")
    assert account["backend"] == trainer
    assert figures.total_seconds > figures.train_seconds > 0
    assert (tmp_path / "v.bin").exists()


def test_a_failed_trainer_is_one_line(themed_file: Path, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"gensim failed with exit code 2: .*no word of .* lower --min-count"
    ) as caught:
        trainers.run("gensim", themed_file, tmp_path / "v.bin", {"min_count": 10**6})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("objective", "negative", "expected"),
    [
        ("negative-sampling", 7, (0, 7)),
        ("nce", 3, (0, 3)),
        ("softmax", 0, (0, 5)),
        ("hierarchical-softmax", 0, (1, 0)),
        ("hierarchical-softmax,negative-sampling", 4, (1, 4)),
    ],
)
def test_gensim_trains_the_objective_that_it_has(monkeypatch, objective, negative, expected):
    import gensim

    class AskedError(Exception):
        pass

    def take(**options):
        raise AskedError(options["hs"], options["negative"], options["sg"], sorted(options))

    monkeypatch.setattr(gensim.models, "Word2Vec", take)
    settings = {"mode": "cbow", "objective": objective, "negative": negative, "window": 3}
    with pytest.raises(AskedError) as asked:
        gensim_runner.train("c.txt", "v.bin", settings)
    assert asked.value.args == (*expected, 0, ["hs", "negative", "sg", "window"])
