"""Three tricks that make neural nets fast, and three kinds of parallelism, each slow and fast on word vectors.

    python examples/efficiency_tricks.py

After Graham Neubig's lecture "Efficiency tricks for neural nets" (CMU CS11-747). The tricks: do not repeat operations;
few large operations instead of many small ones; little traffic between CPU and GPU. The parallelism: within an
operation, of operations that do not wait for each other, of examples. Each pair computes the same numbers, which is
checked, and prints what either way takes; what needs a GPU says so where there is none. The last lines put the tricks
together: negatives that each pair draws for itself, as word2vec.c has them, and negatives that a tile shares.
"""

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

WORDS, DIMENSIONS, PAIRS, NEGATIVES, TILE = 20_000, 100, 2_000, 5, 64
ROUNDS = 3


def compare(title: str, slow: Callable[[], Tensor], fast: Callable[[], Tensor], device: str = "cpu") -> None:
    """Check that both ways give the same numbers, time them by turns and print the best of each."""
    torch.testing.assert_close(fast().cpu(), slow().cpu(), rtol=1e-3, atol=1e-4)
    best = {}
    for _ in range(ROUNDS):
        for name, way in (("slow", slow), ("fast", fast)):
            began = time.perf_counter()
            way()
            if device == "cuda":
                torch.cuda.synchronize()
            best[name] = min(best.get(name, float("inf")), time.perf_counter() - began)
    ratio = best["slow"] / best["fast"]
    print(f"  {title:<62} {1e3 * best['slow']:9.2f} ms {1e3 * best['fast']:9.2f} ms {ratio:8.1f}x")


def tricks(w_in: Tensor, w_out: Tensor, centres: Tensor, targets: Tensor) -> None:
    """Show the three tricks."""
    print("\nTrick 1: do not repeat operations")
    context = w_in[:50]

    def normalise_each_time() -> Tensor:
        """A neighbour search that computes the lengths of all vectors again for each question."""
        return torch.stack([(w_in / w_in.norm(dim=1, keepdim=True)) @ question for question in context[:10]])

    def normalise_once() -> Tensor:
        unit = w_in / w_in.norm(dim=1, keepdim=True)
        return torch.stack([unit @ question for question in context[:10]])

    compare("lengths of all vectors: for each question, once", normalise_each_time, normalise_once)

    centres_of_windows = centres[:200].repeat_interleave(5)

    def score_every_pair() -> Tensor:
        """A centre's normaliser, computed again for every word of its window."""
        return torch.logsumexp(w_in[centres_of_windows] @ w_out[:2000].T, dim=1)

    def score_every_centre() -> Tensor:
        return torch.logsumexp(w_in[centres[:200]] @ w_out[:2000].T, dim=1).repeat_interleave(5)

    compare("log Z of a centre: for each of its 5 targets, once", score_every_pair, score_every_centre)

    print("\nTrick 2: few large operations instead of many small ones")

    def pair_by_pair() -> Tensor:
        return torch.stack([w_in[c] @ w_out[t] for c, t in zip(centres.tolist(), targets.tolist(), strict=True)])

    def all_pairs() -> Tensor:
        return (w_in[centres] * w_out[targets]).sum(dim=1)

    compare(f"scores of {PAIRS:,} pairs: one by one, at once", pair_by_pair, all_pairs)

    def row_by_row() -> Tensor:
        return torch.stack([w_out[:5000] @ row for row in w_in[:TILE]])

    def product() -> Tensor:
        return w_in[:TILE] @ w_out[:5000].T

    compare(f"{TILE} words against 5,000: matrix times vector, times matrix", row_by_row, product)

    print("\nTrick 3: little traffic between CPU and GPU")
    if not torch.cuda.is_available():
        print("  needs a GPU: there is none here")
        return
    on_gpu = w_in.cuda(), w_out.cuda()
    ids = centres.cuda(), targets.cuda()

    def loss_of_each_batch() -> Tensor:
        """Ask for the loss after each step: the GPU waits for the CPU to have read it."""
        total = 0.0
        for part in range(20):
            score = (on_gpu[0][ids[0][part::20]] * on_gpu[1][ids[1][part::20]]).sum(dim=1)
            total += float(torch.nn.functional.softplus(-score).sum())
        return torch.tensor(total)

    def loss_at_the_end() -> Tensor:
        total = torch.zeros((), device="cuda")
        for part in range(20):
            score = (on_gpu[0][ids[0][part::20]] * on_gpu[1][ids[1][part::20]]).sum(dim=1)
            total += torch.nn.functional.softplus(-score).sum()
        return total

    compare("loss of 20 batches: read after each, at the end", loss_of_each_batch, loss_at_the_end, "cuda")

    def send_rows() -> Tensor:
        """Gather on the CPU and send the vectors: D numbers a word."""
        return (w_in[centres].cuda() * w_out[targets].cuda()).sum(dim=1)

    def send_ids() -> Tensor:
        c, t = centres.cuda(), targets.cuda()
        return (on_gpu[0][c] * on_gpu[1][t]).sum(dim=1)

    compare("words to the GPU: as vectors, as ids", send_rows, send_ids, "cuda")


def parallelism(w_in: Tensor, w_out: Tensor, threads: int) -> None:
    """Show the three kinds of parallelism."""
    print(f"\nParallelism within an operation ({threads} threads)")
    left, right = w_in[:1000], w_out[:10_000]

    def with_threads(number: int, way: Callable[[], Tensor]) -> Tensor:
        torch.set_num_threads(number)
        return way()

    compare(
        "one large product: one thread, all threads",
        lambda: with_threads(1, lambda: left @ right.T),
        lambda: with_threads(threads, lambda: left @ right.T),
    )
    torch.set_num_threads(1)
    pool = ThreadPoolExecutor(threads)

    print("\nParallelism of operations: two that do not wait for each other")

    def both_sides() -> list[Callable[[], Tensor]]:
        """Skip-gram and CBOW scores of one text: neither needs the other."""
        return [lambda: left @ right.T, lambda: (w_in[:5000].view(1000, 5, -1).mean(dim=1)) @ right.T]

    compare(
        "scores of words, and of windows: one after the other, together",
        lambda: torch.stack([way() for way in both_sides()]),
        lambda: torch.stack(list(pool.map(lambda way: way(), both_sides()))),
    )

    print("\nParallelism of examples: each thread has some of them")
    parts = w_in[:4000].chunk(threads)

    def examples(part: Tensor) -> Tensor:
        return torch.logsumexp(part @ w_out[:5000].T, dim=1)

    compare(
        "log Z of 4,000 words: one after the other, parts of them",
        lambda: torch.cat([examples(part) for part in parts]),
        lambda: torch.cat(list(pool.map(examples, parts))),
    )
    pool.shutdown()


def together(w_in: Tensor, w_out: Tensor, centres: Tensor) -> None:
    """Show what the tricks make of negative sampling: the same number of scores, as one product a tile."""
    print("\nTogether: the negatives of a tile")
    drawn = torch.randint(WORDS, (PAIRS // TILE, TILE * NEGATIVES // 8))
    tiles = centres[: PAIRS // TILE * TILE].view(-1, TILE)

    def gather_for_each_pair() -> Tensor:
        """Each of a tile's rows fetches the negatives' vectors for itself."""
        scores = [[w_out[drawn[t]] @ w_in[c] for c in tile.tolist()] for t, tile in enumerate(tiles)]
        return torch.stack([torch.stack(rows) for rows in scores])

    def share_in_the_tile() -> Tensor:
        return w_in[tiles] @ w_out[drawn].transpose(1, 2)

    title = f"{tiles.numel():,} words and {drawn.shape[1]} negatives each: fetched a pair, a tile"
    compare(title, gather_for_each_pair, share_in_the_tile)


def main() -> None:
    """Run all pairs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    threads = parser.parse_args().threads
    torch.manual_seed(1)
    torch.set_num_threads(1)
    w_in, w_out = torch.randn(2, WORDS, DIMENSIONS) / DIMENSIONS**0.5
    centres, targets = torch.randint(WORDS, (2, PAIRS))
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    print(f"{WORDS:,} words of {DIMENSIONS} dimensions; {threads} threads, {where}")
    print(f"  {'':<62} {'slow':>12} {'fast':>12}")
    tricks(w_in, w_out, centres, targets)
    parallelism(w_in, w_out, threads)
    together(w_in, w_out, centres)


if __name__ == "__main__":
    main()
