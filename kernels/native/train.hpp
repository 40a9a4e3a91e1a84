// Workers: each takes the next chunk and trains on its tiles, building one tile ahead of the arithmetic.
#pragma once

#include <atomic>
#include <exception>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "batch.hpp"
#include "objectives/binary_code.hpp"
#include "objectives/class_softmax.hpp"
#include "objectives/hierarchical_softmax.hpp"
#include "objectives/hierarchical_softmax__negative_sampling.hpp"
#include "objectives/nce.hpp"
#include "objectives/negative_sampling.hpp"
#include "objectives/sampled_softmax.hpp"
#include "objectives/softmax.hpp"
#include "step.hpp"

namespace w2v {

template <class Input, class Objective>
class TileWorker final : public Worker {
  public:
    TileWorker(const Job &job, const Objective &objective, int shared_words)
        : job_(job),
          shape_(job, objective.shared_columns(job, shared_words), objective.own_per_target()),
          tiles_{Next(job, objective, shape_), Next(job, objective, shape_)},
          workspace_(job, shape_) {
        if (!job.teacher.models.empty()) lesson_ = std::make_unique<Lesson>(job, shape_, workspace_.ld_shared);
    }

    void train_chunk(const Visit &visit, int64_t place, bool poison, Result &result) override {
        const int64_t chunk = visit.chunks[place];
        plan_.compute(job_, chunk, visit.draw_epoch);
        const int tiles = (plan_.kept + job_.tile - 1) / job_.tile;
        for (int t = 0; t < std::min(tiles, 2); ++t) tiles_[t].columns.draw(job_, chunk, visit.draw_epoch, t);
        if (tiles > 0) build(visit, place, plan_, 0, tiles_[0]);
        for (int t = 0; t < tiles; ++t) {
            Next &now = tiles_[t % 2], &next = tiles_[(t + 1) % 2];
            const bool more = t + 1 < tiles;
            if (more) build(visit, place, plan_, t + 1, next);
            if (t + 2 < tiles) now.columns.draw(job_, chunk, visit.draw_epoch, t + 2);
            if (poison) poison_buffers();
            Ahead ahead(workspace_.w_in, workspace_.w_out, more ? &next.tile : nullptr);
            result.loss += tile_step<Input>(job_, workspace_, now.tile, now.columns, ahead, lesson_.get());
            result.pairs += now.tile.pairs;
        }
        result.trained += plan_.kept;
    }

    void build(const Visit &visit, int64_t place, const ChunkPlan &plan, int ordinal) override {
        Next &next = tiles_[1 - at_hand_];
        next.columns.draw(job_, visit.chunks[place], visit.draw_epoch, ordinal);
        build(visit, place, plan, ordinal, next);
        built_ = true;
    }

    void turn() override {
        at_hand_ = 1 - at_hand_;
        built_ = false;
    }

    bool has_built() const override { return built_; }

    void train_tile(Slot &slot, int part_bits, bool poison) override {
        Next &now = tiles_[at_hand_];
        exchange_matrices(slot);
        slot.in.begin(workspace_.step_left.data(), workspace_.ld, now.tile.lr);
        slot.out.begin(workspace_.step_columns.data(), workspace_.ld, now.tile.lr);
        workspace_.w_in.write_down(slot.in);
        workspace_.w_out.write_down(slot.out);
        if (poison) poison_buffers();
        Ahead ahead(workspace_.w_in, workspace_.w_out, built_ ? &tiles_[1 - at_hand_].tile : nullptr);
        slot.loss = tile_step<Input>(job_, workspace_, now.tile, now.columns, ahead, lesson_.get());
        slot.pairs = now.tile.pairs;
        exchange_matrices(slot);
        slot.in.finish(part_bits);
        slot.out.finish(part_bits);
    }

  private:
    using Columns = typename Objective::Columns;

    struct Next {
        Tile tile;
        Columns columns;
        Next(const Job &job, const Objective &objective, const TileShape &shape)
            : tile(job, shape), columns(objective, shape) {}
    };

    void build(const Visit &visit, int64_t place, const ChunkPlan &plan, int ordinal, Next &next) {
        next.tile.start(job_, plan, ordinal);
        next.tile.lr = static_cast<float>(visit.learning_rate(place, plan.offset[next.tile.begin]));
        next.columns.name_shared(next.tile);
        Input::build(job_, plan, next.tile, next.columns);
        next.columns.finish(next.tile);
    }

    void poison_buffers() {
        workspace_.poison();
        if (lesson_) lesson_->poison();
    }

    // The workspace's matrices of steps for the slot's, where these are what is to be added to the tables; and back.
    void exchange_matrices(Slot &slot) {
        if (!job_.cbow) exchange(workspace_.step_left, slot.in.matrix);
        exchange(workspace_.step_columns, slot.out.matrix);
    }

    static void exchange(Buffer &ours, Buffer &theirs) {
        if (theirs.size() != ours.size()) theirs.resize(ours.size());
        std::swap(ours, theirs);
    }

    const Job &job_;
    TileShape shape_;
    ChunkPlan plan_;
    Next tiles_[2];
    int at_hand_ = 0;     // of the two, tile by tile
    bool built_ = false;  // the other one
    Workspace workspace_;
    std::unique_ptr<Lesson> lesson_;  // where there is a teacher
};

// An objective with its arrays, shared by all workers, and a way to make one for it.
class Workers {
  public:
    virtual ~Workers() = default;
    virtual std::unique_ptr<Worker> make(const Job &job, int shared_words) const = 0;
};

template <class Objective>
class WorkersOf final : public Workers {
  public:
    WorkersOf(const Fields &fields, int64_t V) : objective_(fields, V) {}

    std::unique_ptr<Worker> make(const Job &job, int shared_words) const override {
        using Window = TileWorker<WindowInput, Objective>;
        using Word = TileWorker<WordInput, Objective>;
        if (job.cbow) return std::make_unique<Window>(job, objective_, shared_words);
        return std::make_unique<Word>(job, objective_, shared_words);
    }

  private:
    Objective objective_;
};

template <class Objective>
std::unique_ptr<Workers> workers_of(const Fields &fields, int64_t V) {
    return std::make_unique<WorkersOf<Objective>>(fields, V);
}

struct ObjectiveEntry {
    const char *name;
    std::unique_ptr<Workers> (*workers)(const Fields &, int64_t V);
};

// Every objective of this backend, by the name of its value in Python; in bfloat16 those whose products are all a tile's.
constexpr ObjectiveEntry OBJECTIVES[] = {
    {"negative-sampling", workers_of<NegativeSampling>},
    {"nce", workers_of<Nce>},
#if !defined(__AVX512BF16__)
    {"hierarchical-softmax", workers_of<HierarchicalSoftmax>},
    {"hierarchical-softmax,negative-sampling", workers_of<HierarchicalSoftmaxNegativeSampling>},
    {"class-softmax", workers_of<ClassSoftmax>},
    {"binary-code", workers_of<BinaryCode>},
    {"sampled-softmax", workers_of<SampledSoftmax>},
    {"softmax", workers_of<Softmax>},
#endif
};

inline std::unique_ptr<Workers> workers_for(const std::string &objective, const Fields &fields, int64_t V) {
    for (const ObjectiveEntry &entry : OBJECTIVES) {
        if (objective == entry.name) return entry.workers(fields, V);
    }
    throw std::invalid_argument("no such objective: " + objective);
}

class Trainer {
  public:
    Trainer(const Job &job, std::unique_ptr<Workers> make, int workers, bool poison)
        : job_(job), make_(std::move(make)), poison_(poison), workers_(workers) {
        if (job.batch_tiles > 0) batches_ = std::make_unique<Batches>(job);
    }

    // Forgets what was sized for the job's tokens or another number of shared words.
    void restart() {
        for (std::unique_ptr<Worker> &worker : workers_) worker.reset();
    }

    // Trains on a visit's chunks. With one worker, or in batches, the result is the same bit for bit on every run: tables
    // and loss.
    Result train(const Visit &visit) {
        if (visit.shared_words != shared_words_) restart();
        shared_words_ = visit.shared_words;
        const int64_t most = batches_ ? std::min<int64_t>(visit.count * job_.chunk_size, job_.batch_tiles) : visit.count;
        const int active = static_cast<int>(std::min<int64_t>(static_cast<int64_t>(workers_.size()), most));
        std::vector<Result> results(workers_.size());
        std::vector<std::exception_ptr> errors(workers_.size());
        std::atomic<int64_t> next{0};
        if (batches_) batches_->begin(visit, active);
        const auto work = [&](int id) {
            try {
                if (!workers_[id]) workers_[id] = make_->make(job_, shared_words_);
                Worker &worker = *workers_[id];
                if (batches_) return batches_->work(id, worker, poison_);
                Result mine;  // in a cache line of its own
                for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < visit.count;) {
                    worker.train_chunk(visit, i, poison_, mine);
                    if (job_.mapped) release(job_.tokens, job_.n);
                }
                results[id] = mine;
            } catch (...) {
                errors[id] = std::current_exception();
                if (batches_) batches_->fail();
            }
        };
        std::vector<std::thread> threads;
        try {
            for (int id = 1; id < active; ++id) threads.emplace_back(work, id);
        } catch (...) {
            errors[0] = std::current_exception();
            next = visit.count;
            for (int id = static_cast<int>(threads.size()) + 1; batches_ && id <= active; ++id) batches_->fail();
        }
        if (active > 0 && !errors[0]) work(0);
        for (std::thread &thread : threads) thread.join();
        for (const std::exception_ptr &error : errors) {
            if (error) std::rethrow_exception(error);
        }
        Result total = batches_ ? batches_->result() : Result{};
        for (const Result &result : results) {
            total.loss += result.loss;
            total.pairs += result.pairs;
            total.trained += result.trained;
        }
        return total;
    }

  private:
    const Job &job_;
    std::unique_ptr<Workers> make_;
    bool poison_;
    int shared_words_ = -1;
    std::vector<std::unique_ptr<Worker>> workers_;
    std::unique_ptr<Batches> batches_;  // where tiles are computed from one snapshot
};

}  // namespace w2v
