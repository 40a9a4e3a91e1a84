// The table of types: gives each distinct word an id and a count, and may be bounded (interner.py has the rule).
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <memory>
#include <new>
#include <stdexcept>
#include <vector>

#include "scan_words.hpp"

namespace w2v {

struct Slot {
    uint64_t lo, hi;  // of a short word its key, of a long one its hash and where it lies
    uint64_t count;
    int32_t id;
    uint32_t length;  // 0: the slot is free
};
static_assert(sizeof(Slot) == 32, "two slots a cache line");

struct Type {
    const char *text;
    uint32_t length;
    int32_t id;

    std::string_view view() const { return {text, length}; }
};

// Zeroed memory, aligned to pages, given back to the system when freed.
class Pages {
  public:
    explicit Pages(size_t bytes) : bytes_(bytes) {
        data_ = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (data_ == MAP_FAILED) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
        // A look-up touches one slot anywhere: with pages of 4 KiB each would miss the TLB as well.
        if (bytes >= HUGE_FROM_BYTES) madvise(data_, bytes, MADV_HUGEPAGE);
#endif
    }
    ~Pages() { munmap(data_, bytes_); }
    Pages(const Pages &) = delete;
    Pages &operator=(const Pages &) = delete;
    void *data() const { return data_; }

  private:
    static constexpr size_t HUGE_FROM_BYTES = size_t{4} << 20;
    void *data_;
    size_t bytes_;
};

// Keeps copies of the types' bytes at fixed places.
class Arena {
  public:
    const char *add(const char *text, size_t n) {
        if (n > left_) {
            left_ = std::max(BLOCK_BYTES, n);
            blocks_.emplace_back(new char[left_]);
            next_ = blocks_.back().get();
        }
        char *place = next_;
        std::memcpy(place, text, n);
        next_ += n;
        left_ -= n;
        return place;
    }

  private:
    static constexpr size_t BLOCK_BYTES = size_t{1} << 17;
    std::vector<std::unique_ptr<char[]>> blocks_;
    char *next_ = nullptr;
    size_t left_ = 0;
};

// Open addressing with linear probing; the ids are given in the order of first sight.
class Table {
  public:
    // With `max_types` above 0 no more types than that are kept beside the first `pinned` ones.
    Table(size_t pinned, size_t max_types) : pinned_(pinned), max_types_(max_types) { allocate(FIRST_SLOTS); }

    void prefetch(uint64_t hash) const { __builtin_prefetch(slots_ + (hash & mask_), 1); }

    // The word's slot; a new one, of count 0, where there was none.
    Slot &get(const Word &word) {
        for (size_t i = word.hash & mask_;; i = (i + 1) & mask_) {
            Slot &slot = slots_[i];
            if (same(slot, word)) return slot;
            if (!slot.length) return insert(word);
        }
    }

    const Slot *find(const Word &word) const {
        for (size_t i = word.hash & mask_;; i = (i + 1) & mask_) {
            if (!slots_[i].length) return nullptr;
            if (same(slots_[i], word)) return slots_ + i;
        }
    }

    const std::vector<Type> &types() const { return types_; }
    int64_t next_id() const { return next_id_; }
    const FlawCounts &dropped() const { return dropped_; }

    // The counts of the types; only where ids have no gaps (never bounded, or just renumbered).
    std::vector<int64_t> counts() const {
        std::vector<int64_t> counts(types_.size());
        for (size_t i = 0; i <= mask_; ++i) {
            if (slots_[i].length) counts[slots_[i].id] = static_cast<int64_t>(slots_[i].count);
        }
        return counts;
    }

    // Numbers the types 0, 1, 2...; old ids map to new ones, dead ones to -1.
    std::vector<int32_t> renumber() {
        std::vector<int32_t> table(next_id_, -1);
        for (size_t i = 0; i < types_.size(); ++i) {
            table[types_[i].id] = static_cast<int32_t>(i);
            types_[i].id = static_cast<int32_t>(i);
        }
        for (size_t i = 0; i <= mask_; ++i) {
            if (slots_[i].length) slots_[i].id = table[slots_[i].id];
        }
        next_id_ = static_cast<int64_t>(types_.size());
        return table;
    }

  private:
    static constexpr size_t FIRST_SLOTS = size_t{1} << 12;

    static bool same(const Slot &slot, const Word &word) {
        if (slot.length != word.length || slot.lo != word.lo) return false;
        if (__builtin_expect(word.length <= SHORT_WORD, 1)) return slot.hi == word.hi;
        return std::memcmp(reinterpret_cast<const char *>(slot.hi), word.text, word.length) == 0;
    }

    static uint64_t hash_of(const Slot &slot) {
        return slot.length <= SHORT_WORD ? hash_short(slot.lo, slot.hi) : slot.lo;
    }

    // What a slot holds as `hi` once its word lies at `text`.
    static uint64_t second_key(uint32_t length, uint64_t hi, const char *text) {
        return length <= SHORT_WORD ? hi : reinterpret_cast<uintptr_t>(text);
    }

    bool is_pinned(const Slot &slot) const { return static_cast<size_t>(slot.id) < pinned_; }

    void allocate(size_t slots) {
        memory_ = std::make_unique<Pages>(slots * sizeof(Slot));
        slots_ = static_cast<Slot *>(memory_->data());
        mask_ = slots - 1;
    }

    size_t free_slot(uint64_t hash) const {
        size_t i = hash & mask_;
        while (slots_[i].length) i = (i + 1) & mask_;
        return i;
    }

    void place(const Slot &slot) { slots_[free_slot(hash_of(slot))] = slot; }

    // Not inlined: most words are known, and the loop of `get` should hold nothing else.
    __attribute__((noinline)) Slot &insert(const Word &word) {
        if (max_types_ && types_.size() - pinned_ == max_types_) drop_rare();
        if ((types_.size() + 1) * 10 > (mask_ + 1) * 7) grow();
        if (next_id_ > INT32_MAX) {
            throw std::overflow_error("the text has more than 2^31 - 1 different words: set max_vocab_size");
        }
        const char *text = arena_->add(word.text, word.length);
        const auto id = static_cast<int32_t>(next_id_++);
        types_.push_back({text, word.length, id});
        Slot &slot = slots_[free_slot(word.hash)];
        slot = {word.lo, second_key(word.length, word.hi, text), 0, id, word.length};
        return slot;
    }

    void grow() {
        const auto old = std::move(memory_);
        const auto *slots = static_cast<const Slot *>(old->data());
        const size_t size = mask_ + 1;
        allocate(2 * size);
        for (size_t i = 0; i < size; ++i) {
            if (slots[i].length) place(slots[i]);
        }
    }

    // The rule of interner.py: all types go up to the smallest count that frees a quarter of the places.
    void drop_rare() {
        const std::vector<Slot> slots = slots_by_id();
        const uint64_t threshold = drop_threshold(slots);
        auto arena = std::make_unique<Arena>();
        std::vector<Type> kept;
        allocate(mask_ + 1);
        for (size_t i = 0; i < slots.size(); ++i) {  // in the order of ids, as in types_
            Slot slot = slots[i];
            const Type &type = types_[i];
            if (!is_pinned(slot) && slot.count <= threshold) {
                dropped_.add(flaws(type.view()), static_cast<int64_t>(slot.count));
                continue;
            }
            const char *text = arena->add(type.text, type.length);
            slot.hi = second_key(slot.length, slot.hi, text);
            kept.push_back({text, slot.length, slot.id});
            place(slot);
        }
        types_ = std::move(kept);
        arena_ = std::move(arena);
    }

    std::vector<Slot> slots_by_id() const {
        std::vector<Slot> living;
        living.reserve(types_.size());
        for (size_t i = 0; i <= mask_; ++i) {
            if (slots_[i].length) living.push_back(slots_[i]);
        }
        std::sort(living.begin(), living.end(), [](const Slot &a, const Slot &b) { return a.id < b.id; });
        return living;
    }

    uint64_t drop_threshold(const std::vector<Slot> &slots) const {
        std::vector<uint64_t> counts;
        counts.reserve(slots.size());
        for (const Slot &slot : slots) {
            if (!is_pinned(slot)) counts.push_back(slot.count);
        }
        const auto quarter = counts.begin() + (counts.size() - 1) / 4;
        std::nth_element(counts.begin(), quarter, counts.end());
        return *quarter;
    }

    size_t pinned_, max_types_;
    std::unique_ptr<Pages> memory_;
    Slot *slots_ = nullptr;  // in memory_; mask_ + 1 of them, a power of two
    size_t mask_ = 0;
    std::unique_ptr<Arena> arena_ = std::make_unique<Arena>();
    std::vector<Type> types_;  // the living ones, in the order of ids
    int64_t next_id_ = 0;
    FlawCounts dropped_;  // words of types that were dropped
};

}  // namespace w2v
