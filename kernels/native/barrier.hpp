// A barrier at which threads wait for each other, and learn together that one of them has failed.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace w2v {

// A pause in a loop that waits, so that the other thread of the core can work.
inline void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

class Barrier {
  public:
    // Threads spin for a while only where each has a processor to itself.
    explicit Barrier(int threads) : threads_(threads) {
        if (threads > static_cast<int>(std::thread::hardware_concurrency())) most_spins_ = 0;
    }

    // Waits for all threads, the last of which calls `last()` first. Returns false to all of them if one has failed.
    template <class Last>
    bool wait(Last &&last) {
        std::unique_lock<std::mutex> lock(mutex_);
        const unsigned turn = turn_.load(std::memory_order_relaxed);
        if (++arrived_ >= threads_) {
            last();
            open();
            return good_;
        }
        const int spins = std::min(spins_, most_spins_);
        lock.unlock();
        for (int spin = 0; spin < spins; ++spin) {
            if (turn_.load(std::memory_order_acquire) != turn) {
                lock.lock();
                spins_ = std::min(spins_ + spins_ / 8, MOST_SPINS);
                return good_;
            }
            relax();
        }
        lock.lock();
        spins_ = std::max(spins_ / 2, LEAST_SPINS);
        opened_.wait(lock, [&] { return turn_.load(std::memory_order_relaxed) != turn; });
        return good_;
    }

    // For a thread that will not come again: the others learn of it at their next turn.
    void fail() {
        std::lock_guard<std::mutex> lock(mutex_);
        failed_ = true;
        --threads_;
        if (arrived_ >= threads_) open();
    }

  private:
    // Up to about 30 microseconds, what two tiles may differ by; fewer where it was in vain, as on a busy machine.
    static constexpr int LEAST_SPINS = 32, FIRST_SPINS = 256, MOST_SPINS = 2048;

    void open() {
        arrived_ = 0;
        good_ = !failed_;
        turn_.fetch_add(1, std::memory_order_release);
        opened_.notify_all();
    }

    std::mutex mutex_;
    std::condition_variable opened_;
    std::atomic<unsigned> turn_{0};
    int threads_, most_spins_ = MOST_SPINS, spins_ = FIRST_SPINS, arrived_ = 0;
    bool failed_ = false, good_ = true;
};

}  // namespace w2v
