// The products of a tile: scores of its shared columns, the steps that these and the rows get of each other, and the dots
// of its own pairs. In float32, or, in a build for processors that have them, of operands rounded to bfloat16.
#pragma once

#include "tile.hpp"

namespace w2v {

// Scores of the rows of `left` with the shared columns and with their own pairs, from the rows of `right`.
inline void score_tile(Workspace &w, const Tile &tile, Ahead &ahead) {
    const int D = static_cast<int>(w.D);
    const auto score_tick = [&] { ahead.tick(SCORES_AHEAD); };
    const auto pair_tick = [&] { ahead.tick(PAIRS_AHEAD); };
#if defined(__AVX512BF16__)
    Halves &h = w.halves;
    const int words = (D + 1) / 2, word_vectors = (words + LANES - 1) / LANES;
    pack_and_pair(w.left.data(), w.ld, tile.rows, w.vectors, h.left.data(), h.ld, h.left_pairs.data(), w.ld);
    pack_and_pair(w.right.data(), w.ld, tile.shared, w.vectors, h.right.data(), h.ld, h.right_pairs.data(), w.ld);
    pack_rows(
        w.row(w.right, tile.shared), w.ld, tile.columns - tile.shared, w.vectors,
        h.right.data() + static_cast<size_t>(tile.shared) * h.ld, h.ld
    );
    transpose_rows(h.right.data(), h.ld, tile.shared, words, w.panel.data(), w.ld_shared);
    scores<Halves>(
        h.left.data(), h.ld, tile.rows, w.panel.data(), w.ld_shared, w.shared_vectors(tile), words,
        w.shared_score.data(), w.ld_shared, score_tick
    );
    pair_dots<Halves>(
        tile.own, h.left.data(), h.ld, h.right.data(), h.ld, word_vectors, w.own_score.data(), pair_tick
    );
#else
    transpose_rows(w.right.data(), w.ld, tile.shared, D, w.panel.data(), w.ld_shared);
    scores(
        w.left.data(), w.ld, tile.rows, w.panel.data(), w.ld_shared, w.shared_vectors(tile), D, w.shared_score.data(),
        w.ld_shared, score_tick
    );
    pair_dots(tile.own, w.left.data(), w.ld, w.right.data(), w.ld, w.vectors, w.own_score.data(), pair_tick);
#endif
}

// step_left = G . U over the shared columns; G stands where their scores stood.
inline void step_rows(Workspace &w, const Tile &tile, Ahead &ahead) {
    const auto tick = [&] { ahead.tick(UPDATE_AHEAD); };
#if defined(__AVX512BF16__)
    Halves &h = w.halves;
    const int vectors = w.shared_vectors(tile);
    pack_and_pair(
        w.shared_score.data(), w.ld_shared, tile.rows, vectors, h.gradient.data(), w.ld_shared, h.gradient_pairs.data(),
        w.ld_shared
    );
    rank_update<false, Halves>(
        h.gradient.data(), w.ld_shared, 1, tile.rows, (tile.shared + 1) / 2, h.right_pairs.data(), w.ld, w.vectors,
        w.step_left.data(), w.ld, tick
    );
#else
    rank_update(
        w.shared_score.data(), w.ld_shared, 1, tile.rows, tile.shared, w.right.data(), w.ld, w.vectors,
        w.step_left.data(), w.ld, tick
    );
#endif
}

// step_columns = G^T . V of the shared columns.
inline void step_shared(Workspace &w, const Tile &tile, Ahead &ahead) {
    const auto tick = [&] { ahead.tick(UPDATE_AHEAD); };
#if defined(__AVX512BF16__)
    Halves &h = w.halves;
    rank_update<false, Halves>(
        h.gradient_pairs.data(), 1, w.ld_shared, tile.shared, (tile.rows + 1) / 2, h.left_pairs.data(), w.ld, w.vectors,
        w.step_columns.data(), w.ld, tick
    );
#else
    rank_update(
        w.shared_score.data(), 1, w.ld_shared, tile.shared, tile.rows, w.left.data(), w.ld, w.vectors,
        w.step_columns.data(), w.ld, tick
    );
#endif
}

}  // namespace w2v
