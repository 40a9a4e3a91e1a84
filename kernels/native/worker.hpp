// One thread's part of the work, whatever the input side and the objective.
#pragma once

#include "tile.hpp"

namespace w2v {

struct Result {
    double loss = 0;
    int64_t pairs = 0, trained = 0;
};

// What a tile of a batch comes to: changes of the tables, written down, and its part of the result.
struct Slot {
    Changes in, out;
    double loss = 0;
    int64_t pairs = 0;
};

class Worker {
  public:
    virtual ~Worker() = default;

    // Trains on the `place`-th chunk of a visit.
    virtual void train_chunk(const Visit &visit, int64_t place, bool poison, Result &result) = 0;

    // Or tile by tile, in a batch: `build` makes the tile that comes next, `turn` makes it the one at hand, on which
    // `train_tile` trains, fetching the rows of what has been built meanwhile.
    virtual void build(const Visit &visit, int64_t place, const ChunkPlan &plan, int ordinal) = 0;
    virtual void turn() = 0;
    virtual void train_tile(Slot &slot, int part_bits, bool poison) = 0;
    virtual bool has_built() const = 0;
};

}  // namespace w2v
