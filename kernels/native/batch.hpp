// Batches: tiles computed from one snapshot of the tables, their changes added afterwards in an order of their own.
//
// While a batch is computed the tables are only read; each tile writes down what it would add to which row. Then rows are
// shared out among the threads, and each adds, row by row, what the tiles have for it: in the order of the tiles, scaled by
// the row cap of their summed weight. No bit depends on which thread computed a tile or has a row, or on how many threads
// there are, and no two threads touch the same memory between two barriers.
#pragma once

#include <cmath>
#include <memory>
#include <vector>

#include "barrier.hpp"
#include "mapped.hpp"
#include "numbering.hpp"
#include "worker.hpp"

namespace w2v {

// The slots of a batch. A thread is given one that it had before where one is free: what no other core has read of it
// then never leaves the core's cache.
class Slots {
  public:
    explicit Slots(int count) : slots_(count) {}

    Slot &take(int thread) {
        for (Owned &each : slots_) {
            if (each.thread.load(std::memory_order_relaxed) == thread && take(each)) return each.slot;
        }
        for (;;) {
            for (Owned &each : slots_) {
                if (!take(each)) continue;
                each.thread.store(thread, std::memory_order_relaxed);
                return each.slot;
            }
        }
    }

    void free() {
        for (Owned &each : slots_) each.taken.store(false, std::memory_order_relaxed);
    }

  private:
    struct Owned {
        Slot slot;
        std::atomic<int> thread{-1};
        std::atomic<bool> taken{false};
    };

    static bool take(Owned &slot) {
        return !slot.taken.load(std::memory_order_relaxed) && !slot.taken.exchange(true, std::memory_order_relaxed);
    }

    std::vector<Owned> slots_;
};

// A tile of a batch: what it comes to, and who made it.
struct Made {
    Slot *slot;
    int thread;
};

constexpr int EVERYONE = -1;

// Adds a part of a batch's changes to the tables; the buffers of one thread.
class Adder {
  public:
    explicit Adder(const Job &job)
        : w_in_(job.w_in, job.in_weight, job.in_scale, job.D, static_cast<float>(job.cap), false),
          w_out_(job.w_out, job.out_weight, nullptr, job.D, static_cast<float>(job.cap), false) {
        sum_.resize(padded(job.D));
    }

    // Adds the changes of a batch's tiles to the rows of a part, of W_in or of W_out: to all of them, or to those that are
    // this thread's, `me`, among all that have made tiles.
    void add_in(const std::vector<Made> &tiles, int part, int me) { add<&Slot::in>(w_in_, tiles, part, me); }
    void add_out(const std::vector<Made> &tiles, int part, int me) { add<&Slot::out>(w_out_, tiles, part, me); }

  private:
    // A row of the table; its changes are a list in the order of tiles.
    struct Row {
        Link *first, *last;
        float weight;
    };

    template <Changes Slot::*OF>
    void add(Table &table, const std::vector<Made> &tiles, int part, int me) {
        size_t changes = 0;
        for (const Made &made : tiles) changes += (made.slot->*OF).count_of(part);
        reserve(changes);
        numbering_.begin();
        int32_t *number = numbers_.data();
        for (const Made &made : tiles) {
            const int count = (made.slot->*OF).count_of(part);
            numbering_.insert((made.slot->*OF).ids_of(part), count, number, ids_.data());
            number += count;
        }
        const int rows = numbering_.count();
        std::fill(rows_.begin(), rows_.begin() + rows, Row{});
        if (me != EVERYONE) choose<OF>(tiles, part, me);
        const int mine = list<OF>(tiles, part, me);
        for (int r = 0; r < std::min(mine, ROWS_AHEAD); ++r) fetch(table, mine_[r]);
        for (int r = 0; r < mine; ++r) {
            if (r + ROWS_AHEAD < mine) fetch(table, mine_[r + ROWS_AHEAD]);
            const Row &row = rows_[mine_[r]];
            table.add_all(ids_[mine_[r]], row.first, row.weight, sum_);
        }
    }

    // A row is added to by the thread that made one of the tiles that change it: what nobody else changes, most of a batch,
    // then never leaves a core's cache. Of several tiles a hash chooses, so that rows that all tiles change are shared out.
    template <Changes Slot::*OF>
    void choose(const std::vector<Made> &tiles, int part, int me) {
        const int rows = numbering_.count();
        std::fill(chosen_.begin(), chosen_.begin() + rows, 0u);
        const int32_t *number = numbers_.data();
        for (size_t i = 0; i < tiles.size(); ++i) {
            const int count = (tiles[i].slot->*OF).count_of(part);
            for (int c = 0; c < count; ++c, ++number) {
                const uint32_t hash = (static_cast<uint32_t>(*number) ^ static_cast<uint32_t>(i) << 16) * 0x9E3779B1u;
                chosen_[*number] = std::max(chosen_[*number], (hash & 0xFFFF0000u) | static_cast<uint32_t>(i));
            }
        }
        for (int r = 0; r < rows; ++r) is_mine_[r] = tiles[chosen_[r] & 0xFFFF].thread == me;
    }

    // Lists the changes of each row, and the rows that have any.
    template <Changes Slot::*OF>
    int list(const std::vector<Made> &tiles, int part, int me) {
        const int32_t *number = numbers_.data();
        int taken = 0;
        for (const Made &made : tiles) {
            const Change *change = (made.slot->*OF).begin_of(part);
            const int count = (made.slot->*OF).count_of(part), before = taken;
            for (int c = 0; c < count; ++c) {
                links_[taken].change = change + c;
                taken_[taken] = number[c];
                taken += me == EVERYONE || is_mine_[number[c]];
            }
            if (made.thread != me) {
                for (int t = before; t < taken; ++t) __builtin_prefetch(links_[t].change, 0, 3);
            }
            number += count;
        }
        int mine = 0;
        for (int t = 0; t < taken; ++t) {
            Link *link = &links_[t];
            link->next = nullptr;
            Row &row = rows_[taken_[t]];
            if (row.last) {
                row.last->next = link;
            } else {
                row.first = link;
                mine_[mine++] = taken_[t];
            }
            row.last = link;
            row.weight += link->change->weight;
        }
        return mine;
    }

    void fetch(Table &table, int row) {
        table.fetch_to_add(ids_[row]);
        for (const Link *link = rows_[row].first; link; link = link->next) table.fetch_step(link->change->step);
    }

    void reserve(size_t changes) {
        if (changes <= ids_.size()) return;
        const size_t size = 2 * changes;
        for (std::vector<int32_t> *ints : {&ids_, &numbers_, &taken_, &mine_}) ints->resize(size);
        links_.resize(size);
        rows_.resize(size);
        chosen_.resize(size);
        is_mine_.resize(size);
        numbering_.resize(size);
    }

    Table w_in_, w_out_;
    Numbering numbering_;
    std::vector<int32_t> ids_, numbers_;  // of rows, in the order of their numbers; of changes
    std::vector<int32_t> taken_, mine_;   // this thread's: the row of each change; rows
    std::vector<Link> links_;
    std::vector<Row> rows_;
    std::vector<uint32_t> chosen_;  // the tile whose thread has a row, in the lower half
    std::vector<uint8_t> is_mine_;
    Buffer sum_;
};

// A visit in batches. Its chunks are taken in groups, whose tiles come in the order of their ordinals, then of their
// chunks: kernels/reference.py has the same.
class Batches {
  public:
    explicit Batches(const Job &job) : job_(job), plans_(job.group_chunks), slots_(job.batch_tiles), made_(job.batch_tiles) {}

    // Begins a visit, with so many threads that call `work`.
    void begin(const Visit &visit, int threads) {
        visit_ = &visit;
        threads_ = threads;
        part_bits_ = 0;
        if (threads > MOST_OWNERS) {
            while (part_bits_ < MOST_PART_BITS && (1 << part_bits_) < PARTS_PER_THREAD * threads) ++part_bits_;
        }
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
        next_batch(0);
    }

    void next_batch(size_t begin) {
        made_.resize(tiles_of(begin));
        slots_.free();
        claim_ = made_.empty() ? 0 : threads_;
    }

    int tiles_of(size_t begin) const {
        return begin < tiles_.size() ? static_cast<int>(std::min<size_t>(job_.batch_tiles, tiles_.size() - begin)) : 0;
    }

    // A thread begins with the tile of its own number, so that it knows what to build while it trains on its last of the
    // batch before; the others go to whoever comes.
    bool train_batch(int id, Worker &worker, size_t begin, bool poison) {
        const int tiles = tiles_of(begin);
        const size_t after = begin + job_.batch_tiles;
        for (int tile = id; tile < tiles;) {
            if (tile == id && (begin == 0 || !worker.has_built())) build(worker, begin + tile);
            worker.turn();
            const int next = claim();
            if (next < tiles) {
                build(worker, begin + next);
            } else if (id < tiles_of(after)) {
                build(worker, after + id);
            }
            made_[tile] = {&slots_.take(id), id};
            worker.train_tile(*made_[tile].slot, part_bits_, poison);
            tile = next;
        }
        if (!barrier_->wait([&] { end_tiles(tiles, after >= tiles_.size()); })) return false;
        Adder &adder = *adders_[id];
        if (part_bits_ == 0) {
            const int me = threads_ > 1 ? id : EVERYONE;
            adder.add_out(made_, 0, me);
            adder.add_in(made_, 0, me);
        }
        const int parts = 1 << part_bits_;
        for (int part; part_bits_ > 0 && (part = claim()) < 2 * parts;) {
            if (part < parts) {
                adder.add_out(made_, part, EVERYONE);
            } else {
                adder.add_in(made_, part - parts, EVERYONE);
            }
        }
        return barrier_->wait([&] { next_batch(after); });
    }

    void build(Worker &worker, size_t tile) {
        const TileAt &at = tiles_[tile];
        worker.build(*visit_, at.place, plans_[at.chunk], at.ordinal);
    }

    // Losses are summed in the order of tiles, and a group's sum is cut to whole LOSS_UNITs: then sums of groups are exact
    // up to 10^11, and do not depend on how the groups of an epoch come in visits.
    void end_tiles(int tiles, bool last) {
        for (int i = 0; i < tiles; ++i) {
            group_loss_ += made_[i].slot->loss;
            result_.pairs += made_[i].slot->pairs;
        }
        if (last) result_.loss += std::nearbyint(group_loss_ / LOSS_UNIT) * LOSS_UNIT;
        claim_ = 0;
    }

    // Up to MOST_OWNERS threads each look at all changes for those of their own rows. More take parts, enough to end
    // together; each costs a look at every tile.
    static constexpr int MOST_OWNERS = 4, PARTS_PER_THREAD = 4, MOST_PART_BITS = 7;
    static constexpr double LOSS_UNIT = 1.0 / 65536;

    const Job &job_;
    const Visit *visit_ = nullptr;
    int threads_ = 0, part_bits_ = 0;
    std::atomic<int> claim_{0};
    std::unique_ptr<Barrier> barrier_;
    std::vector<ChunkPlan> plans_;  // of the group's chunks
    std::vector<TileAt> tiles_;     // of the group
    Slots slots_;
    std::vector<Made> made_;        // of the batch
    std::vector<std::unique_ptr<Adder>> adders_;
    double group_loss_ = 0;
    Result result_;
};

}  // namespace w2v
