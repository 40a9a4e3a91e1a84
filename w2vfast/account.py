"""What the command tells of a training: the lines before and after it, and the JSON object of `--json`."""

from pathlib import Path
from typing import Any

from w2vfast.memory import peak_rss_bytes
from w2vfast.trainer import TrainResult

LEDGER = ("read", "in_vocabulary", "out_of_vocabulary", "trained", "subsampled", "undecodable")


def account(result: TrainResult, output: Path) -> dict[str, Any]:
    """Return what `--json` prints: settings, ledger, times, losses; a plain JSON object."""
    return {
        "settings": result.settings,
        "backend": result.backend,
        "backend_reason": result.backend_reason,
        "vocabulary_size": len(result.vocab.words),
        "tokens": {name: result.tokens[name] for name in LEDGER},
        "pairs": result.pairs,
        "epochs_visited": result.epochs_visited,
        "seconds": result.seconds,
        "cpu_seconds": result.cpu_seconds,
        "raw_words_per_second": result.raw_words_per_second,
        "loss_per_epoch": result.loss_per_epoch,
        "scores": result.scores,
        "peak_rss_bytes": peak_rss_bytes(),
        "ranks": result.ranks,
        "scan_kept": result.scan_kept,
        "resumed_from": result.resumed_from,
        "output": str(output),
    }


def introduction(result: TrainResult, output: Path) -> str:
    """Return the lines that say what is about to be trained, and how."""
    s, t = result.settings, result.tokens
    return (
        f"backend {result.backend} on {s['device']}: {result.backend_reason}\n"
        f"{t['read']:,} words read, {t['in_vocabulary']:,} in a vocabulary of {len(result.vocab.words):,}\n"
        f"{s['mode']} {s['objective']} vector_size={s['vector_size']} window={s['window']} negative={s['negative']} "
        f"sample={s['sample']:g} min_count={s['min_count']} epochs={s['epochs']} alpha={s['alpha']:g} "
        f"min_alpha={s['min_alpha']:g} seed={s['seed']} workers={s['workers']}"
        f"{' deterministic' if s['deterministic'] else ''}{_bits(s)}\n"
        f"precision={s['precision']} tile={s['tile']} shared_negatives={s['shared_negatives']} "
        f"early_negatives={s['early_negatives']} tokens_in_flight={s['tokens_in_flight']} cap={s['cap']:g} "
        f"chunk_size={s['chunk_size']} output={output}" + _ranks(result) + _kept(result) + _resumed(result)
    )


def _ranks(result: TrainResult) -> str:
    if result.ranks is None:
        return ""
    r = result.ranks
    if "dimensions" in r:
        return f"\neach of {r['ranks']} ranks has {r['dimensions']} of the {result.settings['vector_size']} dimensions"
    return (
        f"\n{r['ranks']} ranks train parts of the text: alpha is multiplied by {r['alpha_scale']:g}, changes are "
        f"exchanged every {r['tokens_between_exchanges']:,} tokens of a rank"
    )


def _bits(settings: dict[str, Any]) -> str:
    return "".join(f" {name}={settings[name]}" for name in ("bits", "buckets") if settings[name] is not None) + (
        f" teacher={','.join(settings['teacher'])} teacher_weight={settings['teacher_weight']:g} "
        f"teacher_temperature={settings['teacher_temperature']:g}"
        if settings["teacher"] is not None
        else ""
    )


def _kept(result: TrainResult) -> str:
    return "" if result.scan_kept is None else f"\nthe scan is kept in {result.scan_kept}"


def _resumed(result: TrainResult) -> str:
    if not result.settings["resume"]:
        return ""
    if result.resumed_from is None:
        return f"\nno checkpoint in {result.settings['checkpoint']} yet: training from the beginning"
    return f"\ngoing on from {result.resumed_from}, {result.resumed_at:.3f} epochs in"


def summary(result: TrainResult, output: Path) -> str:
    """Return the lines that say what became of every word, the losses, the scores and the times."""
    t, seconds, epochs = result.tokens, result.seconds, result.settings["epochs"]
    whole = result.epochs_visited == epochs
    visits = f"{epochs} epochs" if whole else f"{result.epochs_visited:.4g} epochs, stopped by patience,"
    losses = ", ".join(f"{loss:.4f}" for loss in result.loss_per_epoch)
    scores = ", ".join(f"{entry['epoch']:g}: {entry['score']:.2f}" for entry in result.scores)
    scored = f"{result.settings['eval_set']} by epoch: {scores}\n" if scores else ""
    evaluating = f", scoring {seconds['evaluate']:.1f} s" if scores else ""
    undecodable = f", {t['undecodable']:,} not valid UTF-8 (replaced)" if t["undecodable"] else ""
    return (
        f"tokens: {t['read']:,} read = {t['in_vocabulary']:,} in vocabulary + {t['out_of_vocabulary']:,} out of it"
        f"{undecodable}; in {visits} = {t['trained']:,} trained + {t['subsampled']:,} subsampled\n"
        f"loss per pair, by epoch: {losses}\n{scored}"
        f"scan {seconds['scan']:.1f} s, set-up {seconds['setup']:.1f} s, training {seconds['train']:.1f} s "
        f"({result.raw_words_per_second:,.0f} words/s){evaluating}, saving {seconds['save']:.1f} s\n"
        f"{_exchanged(result)}"
        f"{len(result.vocab.words):,} vectors of {result.settings['vector_size']} dimensions: {output}"
    )


def _exchanged(result: TrainResult) -> str:
    if result.ranks is None:
        return ""
    r = result.ranks
    if "dimensions" in r:
        return (
            f"{r['sums']:,.0f} sums of scores, {r['bytes_a_token']:,.0f} bytes sent a token, {r['sum_seconds']:.1f} s\n"
        )
    return (
        f"{r['exchanges']:,.0f} exchanges, one in {r['tokens_between_exchanges']:,.0f} tokens of a rank, "
        f"{r['bytes_a_token']:,.0f} bytes sent a token, {r['exchange_seconds']:.1f} s "
        f"({r['waited_seconds']:.1f} s waiting)\n"
    )
