// The table of types: gives each distinct word an id and a count, and may be bounded (interner.py has the rule).

#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "scan_words.hpp"

namespace scan {

struct Slot {
    uint64_t lo, hi;  // the word, or its hash and where it lies
    uint64_t count;
    int32_t id;
    uint32_t length;  // 0: the slot is free
};
static_assert(sizeof(Slot) == 32, "two slots a cache line");

// Zeroed memory, aligned to pages, given back to the system when freed.
class Pages {
public:
    explicit Pages(size_t bytes) : bytes_(bytes) {
        data_ = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (data_ == MAP_FAILED) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
        if (bytes >= (size_t{4} << 20)) madvise(data_, bytes, MADV_HUGEPAGE);
#endif
    }
    ~Pages() { munmap(data_, bytes_); }
    Pages(const Pages&) = delete;
    Pages& operator=(const Pages&) = delete;
    void* data() const { return data_; }

private:
    void* data_;
    size_t bytes_;
};

// Keeps copies of the types' bytes at fixed places.
class Arena {
public:
    const char* add(const char* text, size_t n) {
        if (n > left_) {
            const size_t size = std::max(kBlock, n);
            blocks_.emplace_back(new char[size]);
            next_ = blocks_.back().get();
            left_ = size;
        }
        char* place = next_;
        std::memcpy(place, text, n);
        next_ += n;
        left_ -= n;
        return place;
    }

private:
    static constexpr size_t kBlock = size_t{1} << 17;
    std::vector<std::unique_ptr<char[]>> blocks_;
    char* next_ = nullptr;
    size_t left_ = 0;
};

struct Type {
    const char* text;
    uint32_t length;
    int32_t id;
};

// Open addressing with linear probing; the ids are given in the order of first sight.
class Table {
public:
    Table(size_t pinned, size_t max_types) : pinned_(pinned), max_types_(max_types) { allocate(kFirstSlots); }

    void prefetch(uint64_t hash) const { __builtin_prefetch(slots_ + (hash & mask_), 1); }

    // The word's slot; a new one, of count 0, where there was none.
    inline Slot& get(const Word& word) {
        for (size_t i = word.hash & mask_;; i = (i + 1) & mask_) {
            Slot& slot = slots_[i];
            if (same(slot, word)) return slot;
            if (!slot.length) return insert(word, i);
        }
    }

    const Slot* find(const Word& word) const {
        for (size_t i = word.hash & mask_;; i = (i + 1) & mask_) {
            if (!slots_[i].length) return nullptr;
            if (same(slots_[i], word)) return slots_ + i;
        }
    }

    const std::vector<Type>& types() const { return types_; }
    int64_t next_id() const { return next_id_; }
    int64_t dropped_undecodable() const { return dropped_undecodable_; }

    // The counts of the types; only where ids have no gaps (never bounded, or just renumbered).
    std::vector<int64_t> counts() const {
        std::vector<int64_t> counts(types_.size());
        for (size_t i = 0; i <= mask_; ++i)
            if (slots_[i].length) counts[slots_[i].id] = static_cast<int64_t>(slots_[i].count);
        return counts;
    }

    // Numbers the types 0, 1, 2...; old ids map to new ones, dead ones to -1.
    std::vector<int32_t> renumber() {
        std::vector<int32_t> table(next_id_, -1);
        for (size_t i = 0; i < types_.size(); ++i) {
            table[types_[i].id] = static_cast<int32_t>(i);
            types_[i].id = static_cast<int32_t>(i);
        }
        for (size_t i = 0; i <= mask_; ++i)
            if (slots_[i].length) slots_[i].id = table[slots_[i].id];
        next_id_ = static_cast<int64_t>(types_.size());
        return table;
    }

private:
    static constexpr size_t kFirstSlots = size_t{1} << 12;

    static inline bool same(const Slot& slot, const Word& word) {
        if (slot.length != word.length || slot.lo != word.lo) return false;
        if (__builtin_expect(word.length <= kInline, 1)) return slot.hi == word.hi;
        return std::memcmp(reinterpret_cast<const char*>(static_cast<uintptr_t>(slot.hi)), word.text, word.length) == 0;
    }

    void allocate(size_t slots) {
        memory_ = std::make_unique<Pages>(slots * sizeof(Slot));
        slots_ = static_cast<Slot*>(memory_->data());
        mask_ = slots - 1;
    }

    static uint64_t hash_of(const Slot& slot) {
        return slot.length <= kInline ? fold(slot.lo ^ kHash0, slot.hi ^ kHash1) : slot.lo;
    }

    void place(const Slot& slot) {
        size_t i = hash_of(slot) & mask_;
        while (slots_[i].length) i = (i + 1) & mask_;
        slots_[i] = slot;
    }

    __attribute__((noinline)) Slot& insert(const Word& word, size_t i) {
        if (max_types_ && types_.size() - pinned_ == max_types_) drop_rare();
        if ((types_.size() + 1) * 10 > (mask_ + 1) * 7) grow();
        if (next_id_ > INT32_MAX)
            throw std::overflow_error("the text has more than 2^31 - 1 different words: set max_vocab_size");
        for (i = word.hash & mask_; slots_[i].length;) i = (i + 1) & mask_;
        const char* text = arena_->add(word.text, word.length);
        const auto id = static_cast<int32_t>(next_id_++);
        types_.push_back({text, word.length, id});
        const uint64_t hi = word.length <= kInline ? word.hi : static_cast<uint64_t>(reinterpret_cast<uintptr_t>(text));
        slots_[i] = {word.lo, hi, 0, id, word.length};
        return slots_[i];
    }

    void grow() {
        const auto old = std::move(memory_);
        const auto* slots = static_cast<const Slot*>(old->data());
        const size_t size = mask_ + 1;
        allocate(2 * size);
        for (size_t i = 0; i < size; ++i)
            if (slots[i].length) place(slots[i]);
    }

    // The rule of interner.py: all types up to the smallest count that frees a quarter of the places.
    void drop_rare() {
        std::vector<Slot> living;
        std::vector<uint64_t> counts;
        living.reserve(types_.size());
        counts.reserve(types_.size());
        for (size_t i = 0; i <= mask_; ++i) {
            if (!slots_[i].length) continue;
            living.push_back(slots_[i]);
            if (static_cast<size_t>(slots_[i].id) >= pinned_) counts.push_back(slots_[i].count);
        }
        const auto quarter = counts.begin() + static_cast<std::ptrdiff_t>((counts.size() - 1) / 4);
        std::nth_element(counts.begin(), quarter, counts.end());
        const uint64_t threshold = *quarter;
        std::sort(living.begin(), living.end(), [](const Slot& a, const Slot& b) { return a.id < b.id; });
        auto arena = std::make_unique<Arena>();
        std::vector<Type> kept;
        allocate(mask_ + 1);
        for (size_t i = 0; i < living.size(); ++i) {  // in the order of ids, as in types_
            Slot& slot = living[i];
            const Type& type = types_[i];
            if (static_cast<size_t>(slot.id) >= pinned_ && slot.count <= threshold) {
                if (!valid_utf8(type.text, type.length)) dropped_undecodable_ += static_cast<int64_t>(slot.count);
                continue;
            }
            const char* text = arena->add(type.text, type.length);
            if (slot.length > kInline) slot.hi = static_cast<uint64_t>(reinterpret_cast<uintptr_t>(text));
            kept.push_back({text, slot.length, slot.id});
            place(slot);
        }
        types_ = std::move(kept);
        arena_ = std::move(arena);
    }

    size_t pinned_, max_types_;
    std::unique_ptr<Pages> memory_;
    Slot* slots_ = nullptr;
    size_t mask_ = 0;
    std::unique_ptr<Arena> arena_ = std::make_unique<Arena>();
    std::vector<Type> types_;
    int64_t next_id_ = 0;
    int64_t dropped_undecodable_ = 0;
};

inline Word word_of(std::string& storage, const char* text, size_t n) {
    storage.assign(text, n);
    storage.append(kWordPad, ' ');
    return make_word(storage.data(), static_cast<uint32_t>(n));
}

}  // namespace scan
