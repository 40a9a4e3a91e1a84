// The native scanner (w2vfast._scanner): splits text into words, gives each distinct word (type) an id, counts it.
//
// It does what w2vfast/interner.py does, word for word, on ranges of bytes shared out among threads. Each thread has a
// table of its own with ids of its own, in the order in which it met the types; since the ranges are in the order of the
// text and every range says which types it met first, `finish` can merge the tables into the order of first sight.
//
// A word belongs to the range in which it begins, a newline to the range in which it lies, so ranges may be cut anywhere.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace py = pybind11;

namespace {

using std::size_t;

constexpr size_t kSegmentBytes = size_t{1} << 19;    // a thread's share: small against a step, large against its start
constexpr size_t kMaxWordBytes = size_t{1} << 30;    // as in inputs.py; it also keeps offsets in a segment below 2^32
constexpr size_t kPad = 64;                          // readable bytes after a segment's text, all of them spaces
constexpr size_t kBatchBytes = 4096;                 // text whose word borders are found at once: stays in L1
constexpr size_t kLookAhead = 32;                    // words hashed, and their slots prefetched, before the first look-up
constexpr size_t kExtendBytes = 4096;                // how much more is read at a time to complete a segment's last word
constexpr int32_t kSign = INT32_MIN;

// ---- Text to word borders ----

struct Masks {
    uint64_t space;    // bit i: byte i is white space
    uint64_t newline;  // bit i: byte i is '\n'
};

#if defined(__SSE2__)
inline Masks classify(const unsigned char* p) {
    const __m128i blank = _mm_set1_epi8(' '), newline = _mm_set1_epi8('\n');
    const __m128i nine = _mm_set1_epi8(9), four = _mm_set1_epi8(4);
    Masks masks{0, 0};
    for (int i = 0; i < 4; ++i) {
        const __m128i c = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 16 * i));
        const __m128i from_tab = _mm_sub_epi8(c, nine);  // \t \n \v \f \r are 9 to 13
        const __m128i space = _mm_or_si128(_mm_cmpeq_epi8(c, blank), _mm_cmpeq_epi8(_mm_min_epu8(from_tab, four), from_tab));
        masks.space |= static_cast<uint64_t>(static_cast<uint32_t>(_mm_movemask_epi8(space))) << (16 * i);
        masks.newline |= static_cast<uint64_t>(static_cast<uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(c, newline)))) << (16 * i);
    }
    return masks;
}
#else
// The compare is vectorised by the compiler; a multiplication gathers the eight flags of eight bytes.
inline Masks classify(const unsigned char* p) {
    unsigned char space[64], newline[64];
    for (int i = 0; i < 64; ++i) {
        const unsigned char c = p[i];
        space[i] = static_cast<unsigned char>((c == ' ') | (static_cast<unsigned char>(c - 9) <= 4));
        newline[i] = static_cast<unsigned char>(c == '\n');
    }
    Masks masks{0, 0};
    for (int i = 0; i < 8; ++i) {
        uint64_t s = 0, n = 0;
        for (int k = 0; k < 8; ++k) {  // becomes one load on a little-endian machine
            s |= static_cast<uint64_t>(space[8 * i + k]) << (8 * k);
            n |= static_cast<uint64_t>(newline[8 * i + k]) << (8 * k);
        }
        masks.space |= ((s * 0x0102040810204080ULL) >> 56) << (8 * i);
        masks.newline |= ((n * 0x0102040810204080ULL) >> 56) << (8 * i);
    }
    return masks;
}
#endif

inline bool is_space(unsigned char c) { return c == ' ' || static_cast<unsigned char>(c - 9) <= 4; }

// ---- Words to slots ----

inline uint64_t load64(const char* p) {
    uint64_t x;
    std::memcpy(&x, p, 8);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    x = __builtin_bswap64(x);
#endif
    return x;
}

inline uint64_t fold(uint64_t a, uint64_t b) {
    const unsigned __int128 product = static_cast<unsigned __int128>(a) * b;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

constexpr uint64_t kHash0 = 0x9e3779b97f4a7c15ULL, kHash1 = 0xd1b54a32d192ed03ULL, kHash2 = 0x8cb92ba72f3d8dd7ULL;

// A word of up to 16 bytes is its own key; a longer one has its hash in `lo` and is compared in the arena.
struct Word {
    const char* text;
    uint64_t lo, hi, hash;
    uint32_t length;
};

constexpr uint32_t kInline = 16;

inline uint64_t low_bytes(unsigned count) { return count >= 8 ? ~uint64_t{0} : (uint64_t{1} << (8 * count)) - 1; }

struct MaskTable {
    uint64_t lo[kInline + 1], hi[kInline + 1];
    MaskTable() {
        for (unsigned n = 0; n <= kInline; ++n) lo[n] = low_bytes(n), hi[n] = n > 8 ? low_bytes(n - 8) : 0;
    }
};
const MaskTable kMasks;

uint64_t hash_long(const char* p, size_t n) {
    uint64_t h = kHash2 ^ n;
    size_t i = 0;
    for (; i + 16 < n; i += 16) h = fold(load64(p + i) ^ kHash0 ^ h, load64(p + i + 8) ^ kHash1);
    return fold(load64(p + n - 16) ^ kHash0 ^ h, load64(p + n - 8) ^ kHash1 ^ (h << 1));
}

// Reads 16 bytes from `text` on, whatever the length.
inline Word make_word(const char* text, uint32_t length) {
    Word word;
    word.text = text;
    word.length = length;
    if (__builtin_expect(length <= kInline, 1)) {
        word.lo = load64(text) & kMasks.lo[length];
        word.hi = load64(text + 8) & kMasks.hi[length];
        word.hash = fold(word.lo ^ kHash0, word.hi ^ kHash1);
    } else {
        word.hash = word.lo = hash_long(text, length);
        word.hi = 0;
    }
    return word;
}

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

// As CPython decodes: no overlong forms, no surrogates, nothing above U+10FFFF.
bool valid_utf8(const char* text, size_t n) {
    const auto* p = reinterpret_cast<const unsigned char*>(text);
    const auto follows = [&](size_t i, unsigned lo = 0x80, unsigned hi = 0xBF) { return i < n && p[i] >= lo && p[i] <= hi; };
    for (size_t i = 0; i < n;) {
        const unsigned c = p[i];
        if (c < 0x80) {
            i += 1;
        } else if (c >= 0xC2 && c <= 0xDF && follows(i + 1)) {
            i += 2;
        } else if (c >= 0xE0 && c <= 0xEF && follows(i + 1, c == 0xE0 ? 0xA0 : 0x80, c == 0xED ? 0x9F : 0xBF) && follows(i + 2)) {
            i += 3;
        } else if (c >= 0xF0 && c <= 0xF4 && follows(i + 1, c == 0xF0 ? 0x90 : 0x80, c == 0xF4 ? 0x8F : 0xBF) &&
                   follows(i + 2) && follows(i + 3)) {
            i += 4;
        } else {
            return false;
        }
    }
    return true;
}

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
        if (next_id_ > INT32_MAX) throw std::overflow_error("the text has more than 2^31 - 1 different words: set max_vocab_size");
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

Word word_of(std::string& storage, const char* text, size_t n) {
    storage.assign(text, n);
    storage.append(kPad, ' ');
    return make_word(storage.data(), static_cast<uint32_t>(n));
}

// ---- Segments ----

// Where text comes from: a block in memory or a range of a file.
struct Source {
    const char* block;  // null: read from `fd`
    int fd;
    int64_t first, limit;  // no byte before the one or from the other on is looked at

    void read(char* to, int64_t from, size_t n) const {
        if (block) {
            std::memcpy(to, block + from, n);
            return;
        }
        while (n) {
            const ssize_t got = pread(fd, to, n, static_cast<off_t>(from));
            if (got < 0 && errno == EINTR) continue;
            if (got < 0) throw std::system_error(errno, std::generic_category());
            if (got == 0) throw std::length_error("became shorter while it was read; start again when it is complete");
            to += got;
            from += got;
            n -= static_cast<size_t>(got);
        }
    }
};

struct Segment {
    std::vector<int32_t> ids;
    bool ends_before = false;  // a newline before the first word
    int table = 0;
    int32_t first_new = 0, end_new = 0;  // ids of the types that were met first here
};

// One thread's working space.
class Reader {
public:
    // Interns the words that begin in [begin, end).
    void run(const Source& source, int64_t begin, int64_t end, Table& table, Segment& segment) {
        segment.ids.clear();
        segment.ends_before = false;
        const size_t before = begin > source.first ? 1 : 0;
        size_t n = static_cast<size_t>(end - begin) + before;
        if (text_.size() < n + kPad) text_.resize(n + kPad);
        source.read(text_.data(), begin - static_cast<int64_t>(before), n);
        size_t start = 0;
        if (before) {  // the word at the cut, if any, belongs to the range before
            while (start < n && !is_space(static_cast<unsigned char>(text_[start]))) ++start;
            if (start == n) return;
        }
        if (!is_space(static_cast<unsigned char>(text_[n - 1]))) n = complete_last_word(source, n, end);
        std::memset(text_.data() + n, ' ', kPad);
        intern(text_.data() + start, n - start, table, segment);
    }

private:
    size_t complete_last_word(const Source& source, size_t n, int64_t end) {
        while (end < source.limit) {
            const size_t more = static_cast<size_t>(std::min<int64_t>(source.limit - end, kExtendBytes));
            if (text_.size() < n + more + kPad) text_.resize(std::max(n + more + kPad, text_.size() / 2 * 3));
            source.read(text_.data() + n, end, more);
            for (size_t i = 0; i < more; ++i)
                if (is_space(static_cast<unsigned char>(text_[n + i]))) return n + i;
            n += more;
            end += static_cast<int64_t>(more);
            if (n > kMaxWordBytes + 2 * kSegmentBytes) throw std::length_error("has a word of more than 1 GiB: is it text with spaces?");
        }
        return n;
    }

    void intern(const char* text, size_t n, Table& table, Segment& segment) {
        size_t borders = 0;  // in borders_: start, end, start, end...; a last start may stand alone
        uint64_t in_word = 0;
        for (size_t base = 0; base < n + 1; base += kBatchBytes) {
            // One byte more than the text: the space after it ends the last word.
            const size_t stop = std::min(base + kBatchBytes, n + 1);
            marks_.clear();
            for (size_t at = base; at < stop; at += 64) {
                const Masks masks = classify(reinterpret_cast<const unsigned char*>(text + at));
                const uint64_t words = ~masks.space;
                uint64_t changes = words ^ (words << 1 | in_word);
                in_word = words >> 63;
                for (uint64_t newlines = masks.newline; __builtin_expect(newlines != 0, 0); newlines &= newlines - 1) {
                    const uint64_t up_to = newlines ^ (newlines - 1);
                    borders = emit(changes & up_to, at, borders);
                    changes &= ~up_to;
                    marks_.push_back(segment.ids.size() + borders / 2);
                }
                borders = emit(changes, at, borders);
            }
            intern_batch(text, borders / 2, table, segment);
            for (const size_t words_before : marks_) {
                if (words_before)
                    segment.ids[words_before - 1] |= kSign;
                else
                    segment.ends_before = true;
            }
            if (borders & 1) borders_[0] = borders_[borders - 1];
            borders &= 1;
        }
    }

    size_t emit(uint64_t changes, size_t at, size_t borders) {
        for (; changes; changes &= changes - 1)
            borders_[borders++] = static_cast<uint32_t>(at + static_cast<size_t>(__builtin_ctzll(changes)));
        return borders;
    }

    void intern_batch(const char* text, size_t words, Table& table, Segment& segment) {
        const size_t first = segment.ids.size();
        segment.ids.resize(first + words);
        int32_t* ids = segment.ids.data() + first;
        Word ahead[kLookAhead];
        for (size_t i = 0; i < words; i += kLookAhead) {
            const size_t count = std::min(kLookAhead, words - i);
            for (size_t k = 0; k < count; ++k) {
                const uint32_t begin = borders_[2 * (i + k)];
                const uint32_t length = borders_[2 * (i + k) + 1] - begin;
                if (__builtin_expect(length > kMaxWordBytes, 0)) throw std::length_error("has a word of more than 1 GiB: is it text with spaces?");
                ahead[k] = make_word(text + begin, length);
                table.prefetch(ahead[k].hash);
            }
            for (size_t k = 0; k < count; ++k) {
                Slot& slot = table.get(ahead[k]);
                ++slot.count;
                ids[i + k] = slot.id;
            }
        }
    }

    std::vector<char> text_;
    std::vector<size_t> marks_;
    uint32_t borders_[kBatchBytes + 64 + 2];
};

// ---- The Python class ----

template <typename T>
py::array_t<T> to_array(const std::vector<T>& values) {
    return py::array_t<T>(static_cast<py::ssize_t>(values.size()), values.data());
}

using Numbers = py::array_t<int64_t, py::array::c_style | py::array::forcecast>;

class Scanner {
public:
    Scanner(const std::vector<py::bytes>& pinned, std::optional<int64_t> max_types, int workers) {
        if (workers < 1 || (max_types && *max_types < 1)) throw std::invalid_argument("workers and max_types must be positive");
        pinned_ = pinned.size();
        bounded_ = max_types.has_value();
        // The rule for dropping types looks at the whole sequence of words: one table, one thread.
        workers_ = bounded_ ? 1 : workers;
        std::string storage;
        for (int t = 0; t < workers_; ++t) {
            tables_.push_back(std::make_unique<Table>(pinned_, bounded_ ? static_cast<size_t>(*max_types) : 0));
            for (const auto& word : pinned) {
                const std::string_view view = word;
                tables_.back()->get(word_of(storage, view.data(), view.size()));
            }
            if (tables_.back()->types().size() != pinned_) throw std::invalid_argument("a pinned word is given twice");
            readers_.push_back(std::make_unique<Reader>());
        }
    }

    Scanner(const Scanner&) = delete;
    Scanner& operator=(const Scanner&) = delete;

    py::list add_block(const py::bytes& block) {
        const std::string_view view = block;
        return add({view.data(), -1, 0, static_cast<int64_t>(view.size())}, 0, static_cast<int64_t>(view.size()));
    }

    // Interns the words of a file that begin in [begin, end); its text is [start, size).
    py::list add_file(int fd, int64_t start, int64_t begin, int64_t end, int64_t size) {
        return add({nullptr, fd, start, size}, begin, end);
    }

    int64_t read() const { return read_; }
    int64_t next_id() const { return tables_[0]->next_id(); }
    py::array_t<int32_t> renumber() { return to_array(tables_[0]->renumber()); }

    py::tuple finish() {
        std::vector<std::vector<int32_t>> maps;
        std::vector<int64_t> counts, undecodable;
        {
            py::gil_scoped_release release;
            segments_.clear();
            segments_.shrink_to_fit();
            readers_.clear();
            merge(maps, counts);
            const auto& types = tables_[0]->types();
            for (size_t i = 0; i < order_.size(); ++i) {
                const Type& type = types[static_cast<size_t>(order_[i])];
                if (!valid_utf8(type.text, type.length)) undecodable.push_back(static_cast<int64_t>(i));
            }
        }
        py::list arrays;
        for (const auto& map : maps) arrays.append(to_array(map));
        return py::make_tuple(to_array(counts), to_array(undecodable), arrays, tables_[0]->dropped_undecodable());
    }

    // The words of the given types, as bytes.
    py::list words(const Numbers& types) const {
        return listed(types, [](const Type& type) { return PyBytes_FromStringAndSize(type.text, type.length); });
    }

    // The same as str, decoded with replacement.
    py::list texts(const Numbers& types) const {
        return listed(types, [](const Type& type) { return PyUnicode_DecodeUTF8(type.text, type.length, "replace"); });
    }

    int64_t find(const py::bytes& word) const {
        const std::string_view view = word;
        if (view.empty() || view.size() > kMaxWordBytes) return -1;
        std::string storage;
        const Slot* slot = tables_[0]->find(word_of(storage, view.data(), view.size()));
        return slot ? global_[static_cast<size_t>(slot->id)] : -1;
    }

private:
    template <typename Make>
    py::list listed(const Numbers& types, Make make) const {
        py::list words(types.size());
        for (py::ssize_t i = 0; i < types.size(); ++i) {
            const int64_t number = types.data()[i];
            if (number < 0 || static_cast<size_t>(number) >= order_.size()) throw py::index_error("no such type");
            PyObject* word = make(tables_[0]->types()[static_cast<size_t>(order_[static_cast<size_t>(number)])]);
            if (!word) throw py::error_already_set();
            PyList_SET_ITEM(words.ptr(), i, word);
        }
        return words;
    }

    struct Span {
        int table;
        int32_t first, end;
    };

    py::list add(const Source& source, int64_t begin, int64_t end) {
        if (readers_.empty()) throw std::logic_error("the scanner has finished");
        if (begin < source.first || end > source.limit || begin > end) throw std::invalid_argument("no such range");
        const auto count = static_cast<size_t>((end - begin + static_cast<int64_t>(kSegmentBytes) - 1) / static_cast<int64_t>(kSegmentBytes));
        if (segments_.size() < count) segments_.resize(count);
        try {
            py::gil_scoped_release release;
            run(source, begin, end, count);
        } catch (const std::system_error& error) {
            errno = error.code().value();
            PyErr_SetFromErrno(PyExc_OSError);
            throw py::error_already_set();
        }
        py::list pieces;
        for (size_t i = 0; i < count; ++i) {
            Segment& segment = segments_[i];
            read_ += static_cast<int64_t>(segment.ids.size());
            if (!bounded_ && segment.first_new < segment.end_new) spans_.push_back({segment.table, segment.first_new, segment.end_new});
            // A view: the ids are copied out before the next call, which overwrites them.
            py::array_t<int32_t> ids(static_cast<py::ssize_t>(segment.ids.size()), segment.ids.data(),
                                     py::cast(this, py::return_value_policy::reference));
            pieces.append(py::make_tuple(std::move(ids), segment.ends_before, segment.table));
        }
        return pieces;
    }

    void run(const Source& source, int64_t begin, int64_t end, size_t count) {
        std::atomic<size_t> next{0};
        std::atomic<bool> failed{false};
        std::vector<std::exception_ptr> errors(static_cast<size_t>(workers_));
        const auto work = [&](int t) {
            try {
                for (size_t i; !failed && (i = next++) < count;) {
                    const int64_t from = begin + static_cast<int64_t>(i * kSegmentBytes);
                    const int64_t to = std::min(from + static_cast<int64_t>(kSegmentBytes), end);
                    Table& table = *tables_[static_cast<size_t>(t)];
                    Segment& segment = segments_[i];
                    segment.table = t;
                    segment.first_new = bounded_ ? 0 : static_cast<int32_t>(table.next_id());
                    readers_[static_cast<size_t>(t)]->run(source, from, to, table, segment);
                    segment.end_new = bounded_ ? 0 : static_cast<int32_t>(table.next_id());
                }
            } catch (...) {
                errors[static_cast<size_t>(t)] = std::current_exception();
                failed = true;
            }
        };
        std::vector<std::thread> threads;
        for (int t = 1; t < workers_ && static_cast<size_t>(t) < count; ++t) {
            try {
                threads.emplace_back(work, t);
            } catch (const std::system_error&) {
                break;  // no more threads to be had: those there are do the work
            }
        }
        work(0);
        for (auto& thread : threads) thread.join();
        for (const auto& error : errors)
            if (error) std::rethrow_exception(error);
    }

    // Brings all types into table 0 and numbers them in the order of first sight.
    void merge(std::vector<std::vector<int32_t>>& maps, std::vector<int64_t>& counts) {
        Table& all = *tables_[0];
        if (bounded_) {
            maps.push_back(all.renumber());
            counts = all.counts();
            order_.resize(counts.size());
            for (size_t i = 0; i < order_.size(); ++i) order_[i] = static_cast<int32_t>(i);
            global_ = order_;
            return;
        }
        maps.resize(tables_.size());
        maps[0].resize(all.types().size());
        for (size_t i = 0; i < maps[0].size(); ++i) maps[0][i] = static_cast<int32_t>(i);
        std::string storage;
        for (size_t t = 1; t < tables_.size(); ++t) {
            const std::vector<int64_t> more = tables_[t]->counts();
            maps[t].resize(more.size());
            for (size_t i = 0; i < more.size(); ++i) {
                const Type& type = tables_[t]->types()[i];
                Slot& slot = all.get(word_of(storage, type.text, type.length));
                slot.count += static_cast<uint64_t>(more[i]);
                maps[t][i] = slot.id;
            }
            tables_[t].reset();
        }
        const size_t n = all.types().size();
        global_.assign(n, -1);
        order_.reserve(n);
        const auto number = [&](int32_t id) {
            if (global_[static_cast<size_t>(id)] >= 0) return;
            global_[static_cast<size_t>(id)] = static_cast<int32_t>(order_.size());
            order_.push_back(id);
        };
        for (size_t i = 0; i < pinned_; ++i) number(static_cast<int32_t>(i));
        for (const Span& span : spans_)
            for (int64_t id = span.first; id < span.end; ++id) number(maps[static_cast<size_t>(span.table)][static_cast<size_t>(id)]);
        const std::vector<int64_t> found = all.counts();
        counts.resize(n);
        for (size_t i = 0; i < n; ++i) counts[i] = found[static_cast<size_t>(order_[i])];
        for (auto& map : maps)
            for (int32_t& id : map) id = global_[static_cast<size_t>(id)];
    }

    size_t pinned_ = 0;
    bool bounded_ = false;
    int workers_ = 1;
    int64_t read_ = 0;
    std::vector<std::unique_ptr<Table>> tables_;
    std::vector<std::unique_ptr<Reader>> readers_;
    std::vector<Segment> segments_;
    std::vector<Span> spans_;
    std::vector<int32_t> order_, global_;  // merged number -> id in table 0, and back
};

// tokens.py's Renumber.
std::pair<int64_t, bool> renumber(const py::array_t<int32_t, py::array::c_style>& ids, const py::array_t<int32_t, py::array::c_style>& table,
                                  py::array_t<int32_t, py::array::c_style>& out) {
    if (out.size() < ids.size()) throw std::invalid_argument("out is too small");
    const int32_t* from = ids.data();
    const int32_t* entries = table.data();
    int32_t* to = out.mutable_data();
    const int64_t n = ids.size();
    const auto size = static_cast<uint64_t>(table.size());
    int64_t kept = 0;
    bool ends_before = false;
    py::gil_scoped_release release;
    for (int64_t i = 0; i < n; ++i) {
        const int32_t token = from[i];
        const auto id = static_cast<uint32_t>(token) & 0x7fffffffU;
        if (__builtin_expect(id >= size, 0)) throw std::out_of_range("an id outside the table");
        const int32_t entry = entries[id];
        to[kept] = entry;
        kept += entry >= 0;
        if (__builtin_expect(token < 0, 0)) {
            if (kept)
                to[kept - 1] |= kSign;
            else
                ends_before = true;
        }
    }
    return {kept, ends_before};
}

}  // namespace

PYBIND11_MODULE(_scanner, m) {
    m.doc() = "Splits text into words, interns and counts them, in parallel; see w2vfast/interner.py for the meaning.";
    py::class_<Scanner>(m, "Scanner")
        .def(py::init<const std::vector<py::bytes>&, std::optional<int64_t>, int>(), py::arg("pinned"), py::arg("max_types"), py::arg("workers"))
        .def("add_block", &Scanner::add_block, py::arg("block"))
        .def("add_file", &Scanner::add_file, py::arg("fd"), py::arg("start"), py::arg("begin"), py::arg("end"), py::arg("size"))
        .def_property_readonly("read", &Scanner::read)
        .def_property_readonly("next_id", &Scanner::next_id)
        .def("renumber", &Scanner::renumber)
        .def("finish", &Scanner::finish)
        .def("words", &Scanner::words, py::arg("types"))
        .def("texts", &Scanner::texts, py::arg("types"))
        .def("find", &Scanner::find, py::arg("word"));
    m.def("renumber", &renumber, py::arg("ids").noconvert(), py::arg("table").noconvert(), py::arg("out").noconvert());
}
