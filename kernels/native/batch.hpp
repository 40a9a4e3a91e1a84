// Batches: tiles computed from one snapshot of the tables, their changes added afterwards in an order of their own.
//
// While a batch is computed the tables are only read; each tile writes down what it would add to which row. Then rows are
// parted by their ids, and whoever takes a part adds, row by row, what the tiles have for it: in the order of the tiles,
// scaled by the row cap of their summed weight. No bit depends on which thread computed a tile or took a part, or on how
// many threads and parts there are, and no two threads touch the same memory between two barriers.
#pragma once

#include <cmath>
#include <memory>
#include <vector>

#include "barrier.hpp"
#include "mapped.hpp"
#include "numbering.hpp"
#include "worker.hpp"

namespace w2v {

// Adds a part of a batch's changes to the tables; the buffers of one thread.
class Adder {
  public:
    explicit Adder(const Job &job)
        : w_in_(job.w_in, job.in_weight, job.in_scale, job.D, static_cast<float>(job.cap), false),
          w_out_(job.w_out, job.out_weight, nullptr, job.D, static_cast<float>(job.cap), false) {
        sum_.resize(padded(job.D));
    }

    // Adds the changes of the first `tiles` slots to the rows of a part, of W_in or of W_out.
    void add_in(const std::vector<Slot> &slots, int tiles, int part) { add<&Slot::in>(w_in_, slots, tiles, part); }
    void add_out(const std::vector<Slot> &slots, int tiles, int part) { add<&Slot::out>(w_out_, slots, tiles, part); }

  private:
    // A row of the table; its changes are a list in the order of tiles.
    struct Row {
        Link *first, *last;
        float weight;
    };

    template <Changes Slot::*OF>
    void add(Table &table, const std::vector<Slot> &slots, int tiles, int part) {
        size_t most = 0;
        for (int i = 0; i < tiles; ++i) most += (slots[i].*OF).end_of(part) - (slots[i].*OF).begin_of(part);
        reserve(most);
        numbering_.begin();
        Link *link = links_.data();
        for (int i = 0; i < tiles; ++i) {
            const Change *end = (slots[i].*OF).end_of(part);
            for (const Change *change = (slots[i].*OF).begin_of(part); change != end; ++change, ++link) {
                const int32_t known = numbering_.count();
                int32_t number;
                numbering_.insert(&change->id, 1, &number, ids_.data());
                *link = {change, nullptr};
                Row &row = rows_[number];
                if (number == known) {
                    row = {link, link, change->weight};
                } else {
                    row.last->next = link;
                    row.last = link;
                    row.weight += change->weight;
                }
            }
        }
        const int rows = numbering_.count();
        for (int r = 0; r < std::min(rows, ROWS_AHEAD); ++r) fetch(table, r);
        for (int r = 0; r < rows; ++r) {
            if (r + ROWS_AHEAD < rows) fetch(table, r + ROWS_AHEAD);
            table.add_all(ids_[r], rows_[r].first, rows_[r].weight, sum_);
        }
    }

    void fetch(Table &table, int row) {
        table.fetch_to_add(ids_[row]);
        for (const Link *link = rows_[row].first; link; link = link->next) table.fetch_step(link->change->step);
    }

    void reserve(size_t changes) {
        if (changes <= ids_.size()) return;
        ids_.resize(2 * changes);
        links_.resize(2 * changes);
        rows_.resize(2 * changes);
        numbering_.resize(2 * changes);
    }

    Table w_in_, w_out_;
    Numbering numbering_;
    std::vector<int32_t> ids_;
    std::vector<Link> links_;
    std::vector<Row> rows_;
    Buffer sum_;
};

// A visit in batches. Its chunks are taken in groups, whose tiles come in the order of their ordinals, then of their
// chunks: kernels/reference.py has the same.
class Batches {
  public:
    explicit Batches(const Job &job) : job_(job), plans_(job.group_chunks), slots_(job.batch_tiles) {}

    // Begins a visit, with so many threads that call `work`.
    void begin(const Visit &visit, int threads) {
        visit_ = &visit;
        threads_ = threads;
        part_bits_ = 2;
        while (part_bits_ < MOST_PART_BITS && (1 << part_bits_) < PARTS_PER_THREAD * threads) ++part_bits_;
        claim_ = 0;
        result_ = {};
        barrier_ = std::make_unique<Barrier>(threads);
        while (static_cast<int>(adders_.size()) < threads) adders_.push_back(std::make_unique<Adder>(job_));
    }

    void work(int id, Worker &worker, bool poison) {
        for (int64_t first = 0; first < visit_->count; first += job_.group_chunks) {
            const int chunks = static_cast<int>(std::min<int64_t>(job_.group_chunks, visit_->count - first));
            for (int i; (i = claim()) < chunks;) {
                plans_[i].compute(job_, visit_->chunks[first + i], visit_->draw_epoch);
                if (job_.mapped) release(job_.tokens, job_.n);
            }
            if (!barrier_->wait([&] { list_tiles(first, chunks); })) return;
            for (size_t begin = 0; begin < tiles_.size(); begin += job_.batch_tiles) {
                if (!train_batch(id, worker, begin, poison)) return;
            }
        }
    }

    // For a thread that cannot go on, or was never made.
    void fail() { barrier_->fail(); }

    Result result() const { return result_; }

  private:
    struct TileAt {
        int64_t place;  // of the chunk in the visit
        int chunk;      // in the group
        int ordinal;
    };

    int claim() { return claim_.fetch_add(1, std::memory_order_relaxed); }

    void list_tiles(int64_t first, int chunks) {
        tiles_.clear();
        bool more = true;
        for (int ordinal = 0; more; ++ordinal) {
            more = false;
            for (int i = 0; i < chunks; ++i) {
                if (ordinal * job_.tile >= plans_[i].kept) continue;
                tiles_.push_back({first + i, i, ordinal});
                more = true;
            }
        }
        for (int i = 0; i < chunks; ++i) result_.trained += plans_[i].kept;
        group_loss_ = 0;
        claim_ = tiles_.empty() ? 0 : threads_;
    }

    int tiles_of(size_t begin) const {
        return begin < tiles_.size() ? static_cast<int>(std::min<size_t>(job_.batch_tiles, tiles_.size() - begin)) : 0;
    }

    // A thread begins with the tile of its own number, so that it knows what to build while it trains on its last of the
    // batch before; the others go to whoever comes.
    bool train_batch(int id, Worker &worker, size_t begin, bool poison) {
        const int tiles = tiles_of(begin);
        const size_t after = begin + job_.batch_tiles;
        for (int slot = id; slot < tiles;) {
            if (slot == id && (begin == 0 || !worker.has_built())) build(worker, begin + slot);
            worker.turn();
            const int next = claim();
            if (next < tiles) {
                build(worker, begin + next);
            } else if (id < tiles_of(after)) {
                build(worker, after + id);
            }
            worker.train_tile(slots_[slot], part_bits_, poison);
            slot = next;
        }
        if (!barrier_->wait([&] { end_tiles(tiles, after >= tiles_.size()); })) return false;
        const int parts = 1 << part_bits_;
        for (int part; (part = claim()) < 2 * parts;) {
            if (part < parts) {
                adders_[id]->add_out(slots_, tiles, part);
            } else {
                adders_[id]->add_in(slots_, tiles, part - parts);
            }
        }
        return barrier_->wait([&] { claim_ = after < tiles_.size() ? threads_ : 0; });
    }

    void build(Worker &worker, size_t tile) {
        const TileAt &at = tiles_[tile];
        worker.build(*visit_, at.place, plans_[at.chunk], at.ordinal);
    }

    // Losses are summed in the order of tiles, and a group's sum is cut to whole LOSS_UNITs: then sums of groups are exact
    // up to 10^11, and do not depend on how the groups of an epoch come in visits.
    void end_tiles(int tiles, bool last) {
        for (int i = 0; i < tiles; ++i) {
            group_loss_ += slots_[i].loss;
            result_.pairs += slots_[i].pairs;
        }
        if (last) result_.loss += std::nearbyint(group_loss_ / LOSS_UNIT) * LOSS_UNIT;
        claim_ = 0;
    }

    // Parts enough for threads to end together; each costs a look at every tile.
    static constexpr int PARTS_PER_THREAD = 4, MOST_PART_BITS = 7;
    static constexpr double LOSS_UNIT = 1.0 / 65536;

    const Job &job_;
    const Visit *visit_ = nullptr;
    int threads_ = 0, part_bits_ = 0;
    std::atomic<int> claim_{0};
    std::unique_ptr<Barrier> barrier_;
    std::vector<ChunkPlan> plans_;  // of the group's chunks
    std::vector<TileAt> tiles_;     // of the group
    std::vector<Slot> slots_;       // of the batch
    std::vector<std::unique_ptr<Adder>> adders_;
    double group_loss_ = 0;
    Result result_;
};

}  // namespace w2v
