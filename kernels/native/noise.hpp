// The words that a tile shares: drawn from a noise table, a tile ahead of their use (kernels/contract.py, "The plan").
#pragma once

#include <cstdint>
#include <vector>

#include "fields.hpp"
#include "philox.hpp"

namespace w2v {

// The alias table of the noise distribution.
class Noise {
  public:
    // A column's two numbers lie together, so that a draw touches one cache line.
    struct Entry {
        uint32_t prob;
        int32_t alias;
    };

    Noise(const Fields &objective, int64_t V) : entries_(static_cast<size_t>(V)) {
        const uint32_t *prob = objective.array<uint32_t>("noise_prob");
        const int32_t *alias = objective.array<int32_t>("noise_alias");
        for (int64_t i = 0; i < V; ++i) entries_[i] = {prob[i], alias[i]};
    }

    const Entry *entry(uint32_t column) const { return entries_.data() + column; }
    int64_t V() const { return static_cast<int64_t>(entries_.size()); }

  private:
    std::vector<Entry> entries_;
};

// The shared words of a tile, in two steps, so that the table's cache lines are on their way in between.
class Draws {
  public:
    void resize(int shared_words) {
        count_ = shared_words;
        const size_t size = (shared_words + BLOCK - 1) / BLOCK * BLOCK;
        column_.resize(size);
        chance_.resize(size);
    }

    void draw(const Noise &noise, uint64_t seed, int64_t chunk, uint32_t tile, uint32_t draw_epoch) {
        constexpr int CALLS = BLOCK / 2;
        uint32_t c[4][CALLS];
        for (int begin = 0; begin < count_; begin += BLOCK) {
            for (int i = 0; i < CALLS; ++i) {
                c[0][i] = tile;
                c[1][i] = static_cast<uint32_t>(chunk);
                c[2][i] = draw_epoch;
                c[3][i] = PURPOSE_SHARED | static_cast<uint32_t>(begin / 2 + i) << 8;
            }
            philox(seed, c);
            for (int i = 0; i < CALLS; ++i) {
                for (int half = 0; half < 2; ++half) {
                    const uint32_t column = mulhi(c[2 * half][i], static_cast<uint32_t>(noise.V()));
                    __builtin_prefetch(noise.entry(column), 0, 2);
                    column_[begin + 2 * i + half] = column;
                    chance_[begin + 2 * i + half] = c[2 * half + 1][i];
                }
            }
        }
    }

    // Writes the ids of what was drawn to ids[0 .. N).
    void resolve(const Noise &noise, int32_t *ids) const {
        for (int j = 0; j < count_; ++j) {
            const Noise::Entry entry = *noise.entry(column_[j]);
            // All ones where the column is accepted: a branch here would be a coin toss for the predictor.
            const int64_t below = static_cast<int64_t>(chance_[j]) - static_cast<int64_t>(entry.prob);
            const int32_t accepted = static_cast<int32_t>(below >> 63);
            ids[j] = (static_cast<int32_t>(column_[j]) & accepted) | (entry.alias & ~accepted);
        }
    }

  private:
    static constexpr int BLOCK = 32;
    int count_ = 0;
    std::vector<uint32_t> column_, chance_;
};

}  // namespace w2v
