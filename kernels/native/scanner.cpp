// The native scanner (w2vfast._scanner): splits text into words, gives each distinct word (type) an id, counts it.
//
// It does what w2vfast/interner.py does, word for word, on ranges of bytes shared out among threads. Each thread has a
// table of its own with ids of its own, in the order in which it met the types; since the ranges are in the order of
// the text and every range says which types it met first, `finish` can merge the tables into the order of first sight.
//
// A word belongs to the range in which it begins, a newline to the range in which it lies: ranges may be cut anywhere.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "scan_table.hpp"
#include "scan_words.hpp"

namespace py = pybind11;

namespace {

using namespace scan;

constexpr size_t kSegmentBytes = size_t{1} << 19;  // a thread's share: small against a step, large against its start
constexpr size_t kMaxWordBytes = size_t{1} << 30;  // as in inputs.py; it also keeps offsets in a segment below 2^32
constexpr size_t kPad = 64;  // readable bytes after a segment's text, all of them spaces
constexpr size_t kBatchBytes = 4096;  // text whose word borders are found at once: stays in L1
constexpr size_t kLookAhead = 32;  // words hashed, and their slots prefetched, before the first look-up
constexpr size_t kExtendBytes = 4096;  // how much more is read at a time to complete a segment's last word
constexpr int32_t kSign = INT32_MIN;
constexpr const char* kWordTooLong = "has a word of more than 1 GiB: is it text with spaces?";

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
            if (n > kMaxWordBytes + 2 * kSegmentBytes) throw std::length_error(kWordTooLong);
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
                if (__builtin_expect(length > kMaxWordBytes, 0)) throw std::length_error(kWordTooLong);
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
        if (workers < 1 || (max_types && *max_types < 1))
            throw std::invalid_argument("workers and max_types must be positive");
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
        const size_t count = (static_cast<size_t>(end - begin) + kSegmentBytes - 1) / kSegmentBytes;
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
            if (!bounded_ && segment.first_new < segment.end_new)
                spans_.push_back({segment.table, segment.first_new, segment.end_new});
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
            for (int64_t id = span.first; id < span.end; ++id)
                number(maps[static_cast<size_t>(span.table)][static_cast<size_t>(id)]);
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
using Ids = py::array_t<int32_t, py::array::c_style>;

std::pair<int64_t, bool> renumber(const Ids& ids, const Ids& table, Ids& out) {
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
        .def(py::init<const std::vector<py::bytes>&, std::optional<int64_t>, int>(), py::arg("pinned"),
             py::arg("max_types"), py::arg("workers"))
        .def("add_block", &Scanner::add_block, py::arg("block"))
        .def("add_file", &Scanner::add_file, py::arg("fd"), py::arg("start"), py::arg("begin"), py::arg("end"),
             py::arg("size"))
        .def_property_readonly("read", &Scanner::read)
        .def_property_readonly("next_id", &Scanner::next_id)
        .def("renumber", &Scanner::renumber)
        .def("finish", &Scanner::finish)
        .def("words", &Scanner::words, py::arg("types"))
        .def("texts", &Scanner::texts, py::arg("types"))
        .def("find", &Scanner::find, py::arg("word"));
    m.def("renumber", &renumber, py::arg("ids").noconvert(), py::arg("table").noconvert(), py::arg("out").noconvert());
}
