"""Node embeddings: random walks on a graph are the sentences, its nodes the words. Plotted, groups of nodes show.

    pip install ".[examples]"
    python examples/node_embeddings.py karate.png

The graph is Zachary's karate club (34 members, who later split in two), from networkx. Its nodes are integers, and go
into the class as they are.
"""

import argparse
import random
from collections.abc import Iterator

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import networkx as nx
import numpy as np

from w2vfast import Word2Vec

COLOURS = {"Mr. Hi": "tab:blue", "Officer": "tab:orange"}


class Walks:
    """Random walks, `per_node` from each node; new ones each time they are iterated: every epoch has its own."""

    def __init__(self, graph: nx.Graph, per_node: int, length: int, seed: int) -> None:
        self.graph, self.per_node, self.length = graph, per_node, length
        self.random = random.Random(seed)
        # What a step needs, once: the neighbours of each node and how strong the ties to them are.
        self.ties = {
            node: ([*ties], [tie.get("weight", 1.0) for tie in ties.values()]) for node, ties in graph.adjacency()
        }

    def __len__(self) -> int:
        return self.per_node * len(self.ties)

    def __iter__(self) -> Iterator[list[int]]:
        for _ in range(self.per_node):
            for node in self.random.sample(sorted(self.ties), len(self.ties)):
                yield self.walk(node)

    def walk(self, node: int) -> list[int]:
        """Return one walk that starts at `node`."""
        walk = [node]
        while len(walk) < self.length:
            neighbours, weights = self.ties[walk[-1]]
            walk.append(self.random.choices(neighbours, weights)[0])
        return walk


def two_dimensions(vectors: np.ndarray) -> np.ndarray:
    """Return the vectors' two principal components."""
    centred = vectors - vectors.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    return centred @ axes[:2].T


def main() -> None:
    """Walk, train, plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", help="the plot, a PNG file")
    output = parser.parse_args().output

    graph = nx.karate_club_graph()
    walks = Walks(graph, per_node=40, length=20, seed=1)
    model = Word2Vec(walks, vector_size=16, window=4, sg=1, min_count=1, sample=0, epochs=20, workers=1, seed=1)

    nodes = list(graph)
    club = {node: graph.nodes[node]["club"] for node in nodes}
    near = {node: [other for other, _ in model.wv.most_similar(node, topn=3)] for node in nodes}
    same = np.mean([club[other] == club[node] for node in nodes for other in near[node]])
    print(f"nearest to node 0: {near[0]}, to node 33: {near[33]}")
    print(f"{100 * same:.0f} % of the nodes' three nearest are of their own club")

    normed = np.stack([model.wv.get_vector(node, norm=True) for node in nodes])
    layouts = {
        "the graph": nx.spring_layout(graph, seed=1),
        "its nodes' vectors, two principal components": dict(zip(nodes, two_dimensions(normed), strict=True)),
    }
    figure, axes = plt.subplots(1, 2, figsize=(12, 5.5), layout="constrained")
    for axis, (title, positions) in zip(axes, layouts.items(), strict=True):
        nx.draw_networkx_edges(graph, positions, ax=axis, alpha=0.15)
        for name, colour in COLOURS.items():
            members = [node for node in nodes if club[node] == name]
            nx.draw_networkx_nodes(graph, positions, members, ax=axis, node_color=colour, node_size=260, label=name)
        nx.draw_networkx_labels(graph, positions, ax=axis, font_size=8, font_color="white")
        axis.set_title(title)
        axis.axis("off")
    axes[0].legend(title="went with", loc="lower left")
    figure.savefig(output, dpi=110)
    print(f"plotted: {output}")


if __name__ == "__main__":
    main()
