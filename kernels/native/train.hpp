// Workers: each takes the next chunk and trains on its tiles, planning one tile ahead of the arithmetic.
#pragma once

#include <atomic>
#include <exception>
#include <memory>
#include <thread>
#include <vector>

#include "tile_cbow.hpp"
#include "tile_sg.hpp"

namespace w2v {

struct Result {
    double loss = 0;
    int64_t pairs = 0, trained = 0;
};

class Worker {
  public:
    Worker(const Job &job, bool contended) : job_(job), workspace_(job, contended) {
        for (TilePlan &tile : tiles_) tile.resize(job);
    }

    void train_chunk(int64_t chunk, int64_t rank, uint32_t epoch, bool poison, Result &result) {
        plan_.compute(job_, chunk, epoch);
        const int tiles = (plan_.kept + job_.tile - 1) / job_.tile;
        for (int t = 0; t < std::min(tiles, 2); ++t) tiles_[t].draw(job_, chunk, epoch, t);
        if (tiles > 0) tiles_[0].build(job_, plan_, rank, epoch, 0);
        for (int t = 0; t < tiles; ++t) {
            TilePlan &tile = tiles_[t % 2], &next = tiles_[(t + 1) % 2];
            const bool more = t + 1 < tiles;
            if (more) next.build(job_, plan_, rank, epoch, t + 1);
            if (t + 2 < tiles) tile.draw(job_, chunk, epoch, t + 2);
            if (poison) workspace_.poison();
            Ahead ahead(workspace_.w_in, workspace_.w_out, more ? &next : nullptr);
            const auto step = job_.cbow ? cbow_tile : skip_gram_tile;
            result.loss += step(job_, workspace_, tile, ahead);
            result.pairs += tile.positives;
        }
        result.trained += plan_.kept;
    }

  private:
    const Job &job_;
    ChunkPlan plan_;
    TilePlan tiles_[2];
    Workspace workspace_;
};

class Trainer {
  public:
    Trainer(const Job &job, int workers, bool poison) : job_(job), poison_(poison), workers_(workers) {}

    // Trains on chunks[0 .. count); the first one is the first_rank-th of the epoch. With one worker the result, tables
    // and loss, is the same bit for bit on every run.
    Result train(const int64_t *chunks, int64_t count, int64_t first_rank, uint32_t epoch) {
        const int active = static_cast<int>(std::min<int64_t>(static_cast<int64_t>(workers_.size()), count));
        std::vector<Result> results(workers_.size());
        std::vector<std::exception_ptr> errors(workers_.size());
        std::atomic<int64_t> next{0};
        const auto work = [&](int id) {
            try {
                if (!workers_[id]) workers_[id] = std::make_unique<Worker>(job_, workers_.size() > 1);
                Worker &worker = *workers_[id];
                Result mine;  // in a cache line of its own
                for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < count;) {
                    worker.train_chunk(chunks[i], first_rank + i, epoch, poison_, mine);
                }
                results[id] = mine;
            } catch (...) {
                errors[id] = std::current_exception();
            }
        };
        std::vector<std::thread> threads;
        try {
            for (int id = 1; id < active; ++id) threads.emplace_back(work, id);
        } catch (...) {
            errors[0] = std::current_exception();
            next = count;
        }
        if (active > 0 && !errors[0]) work(0);
        for (std::thread &thread : threads) thread.join();
        for (const std::exception_ptr &error : errors) {
            if (error) std::rethrow_exception(error);
        }
        Result total;
        for (const Result &result : results) {
            total.loss += result.loss;
            total.pairs += result.pairs;
            total.trained += result.trained;
        }
        return total;
    }

  private:
    const Job &job_;
    bool poison_;
    std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace w2v
