// The scan of a text by several threads, each with a table of its own, and how the tables become one.
//
// A thread gives ids in the order in which it met the types. Since segments are in the order of the text and each says
// which types were met first in it, `finish` can number the types of all tables in the order of first sight, as if one
// thread had read everything.
#pragma once

#include <atomic>
#include <exception>
#include <numeric>
#include <thread>

#include "scan_reader.hpp"

namespace w2v {

// The end of a scan: for each table its ids' types; the types' counts and which are no UTF-8; how many words were flawed,
// of dropped types too.
struct Types {
    std::vector<std::vector<int32_t>> type_of;
    std::vector<int64_t> counts, undecodable;
    FlawCounts flawed;
};

class Scan {
  public:
    // `pinned` words have the ids 0, 1, 2...; max_types of 0 is no bound.
    Scan(const std::vector<std::string_view> &pinned, size_t max_types, int workers)
        : pinned_(pinned.size()), bounded_(max_types > 0) {
        // The rule for dropping types looks at the whole sequence of words: one table, one thread.
        if (bounded_) workers = 1;
        std::string storage;
        for (int t = 0; t < workers; ++t) {
            tables_.push_back(std::make_unique<Table>(pinned_, max_types));
            for (const std::string_view word : pinned) tables_.back()->get(make_padded_word(word, storage));
            if (tables_.back()->types().size() != pinned_) throw std::invalid_argument("a pinned word is given twice");
            readers_.push_back(std::make_unique<Reader>());
        }
    }

    // Interns the words that begin in [begin, end), and returns how many segments hold their ids until the next call.
    size_t read(const Source &source, int64_t begin, int64_t end) {
        if (readers_.empty()) throw std::logic_error("the scanner has finished");
        if (begin < source.first || end > source.limit || begin > end) throw std::invalid_argument("no such range");
        const size_t count = (static_cast<size_t>(end - begin) + SEGMENT_BYTES - 1) / SEGMENT_BYTES;
        if (segments_.size() < count) segments_.resize(count);
        run(source, begin, end, count);
        for (size_t i = 0; i < count; ++i) {
            const Segment &segment = segments_[i];
            words_read_ += static_cast<int64_t>(segment.ids.size());
            if (!bounded_ && segment.first_new < segment.end_new) {
                first_seen_.push_back({segment.table, segment.first_new, segment.end_new});
            }
        }
        return count;
    }

    Segment &segment(size_t i) { return segments_[i]; }
    int64_t words_read() const { return words_read_; }

    // These are for a bounded scan, which has one table.
    int64_t next_id() const { return tables_[0]->next_id(); }
    std::vector<int32_t> renumber() { return tables_[0]->renumber(); }

    // Ends the scan: brings all types into table 0 and numbers them in the order of first sight.
    Types finish() {
        if (readers_.empty()) throw std::logic_error("the scanner has finished");
        readers_.clear();
        segments_ = {};
        Types types;
        if (bounded_) {
            types.type_of.push_back(tables_[0]->renumber());
        } else {
            types.type_of = merge_tables();
        }
        number_types(types.type_of);
        const std::vector<int64_t> counts = tables_[0]->counts();
        types.flawed = tables_[0]->dropped();
        for (const int32_t id : id_of_type_) {
            const Flaws found = flaws(tables_[0]->types()[id].view());
            types.flawed.add(found, counts[id]);
            if (found.undecodable) types.undecodable.push_back(types.counts.size());
            types.counts.push_back(counts[id]);
        }
        for (std::vector<int32_t> &ids : types.type_of) {
            for (int32_t &id : ids) id = id < 0 ? id : type_of_id_[id];
        }
        return types;
    }

    // After the end: the types by number, and the number of a word, -1 where it is no type.
    size_t size() const { return id_of_type_.size(); }
    const Type &type(size_t number) const { return tables_[0]->types()[id_of_type_[number]]; }
    int64_t find(std::string_view word) const {
        if (word.empty() || word.size() > MAX_WORD_BYTES) return -1;
        std::string storage;
        const Slot *slot = tables_[0]->find(make_padded_word(word, storage));
        return slot ? type_of_id_[slot->id] : -1;
    }

  private:
    // Ids of one table whose types were met first in one segment.
    struct Span {
        int table;
        int32_t begin, end;
    };

    void run(const Source &source, int64_t begin, int64_t end, size_t count) {
        std::atomic<size_t> next{0};
        std::atomic<bool> failed{false};
        std::vector<std::exception_ptr> errors(readers_.size());
        const auto work = [&](size_t t) {
            try {
                for (size_t i; !failed && (i = next++) < count;) {
                    const int64_t from = begin + static_cast<int64_t>(i * SEGMENT_BYTES);
                    const int64_t to = std::min(from + static_cast<int64_t>(SEGMENT_BYTES), end);
                    read_segment(source, from, to, t, segments_[i]);
                }
            } catch (...) {
                errors[t] = std::current_exception();
                failed = true;
            }
        };
        std::vector<std::thread> threads;
        for (size_t t = 1; t < readers_.size() && t < count; ++t) {
            try {
                threads.emplace_back(work, t);
            } catch (const std::system_error &) {
                break;  // no more threads to be had: those there are do the work
            }
        }
        work(0);
        for (std::thread &thread : threads) thread.join();
        for (const std::exception_ptr &error : errors) {
            if (error) std::rethrow_exception(error);
        }
    }

    void read_segment(const Source &source, int64_t begin, int64_t end, size_t t, Segment &segment) {
        Table &table = *tables_[t];
        segment.table = static_cast<int>(t);
        segment.first_new = bounded_ ? 0 : static_cast<int32_t>(table.next_id());
        readers_[t]->read(source, begin, end, table, segment);
        segment.end_new = bounded_ ? 0 : static_cast<int32_t>(table.next_id());
    }

    // Adds the types and counts of all tables to table 0; returns for each table what its ids are there.
    std::vector<std::vector<int32_t>> merge_tables() {
        Table &all = *tables_[0];
        std::vector<std::vector<int32_t>> ids(tables_.size());
        ids[0].resize(all.types().size());
        std::iota(ids[0].begin(), ids[0].end(), 0);
        std::string storage;
        for (size_t t = 1; t < tables_.size(); ++t) {
            const std::vector<int64_t> counts = tables_[t]->counts();
            ids[t].resize(counts.size());
            for (size_t i = 0; i < counts.size(); ++i) {
                Slot &slot = all.get(make_padded_word(tables_[t]->types()[i].view(), storage));
                slot.count += static_cast<uint64_t>(counts[i]);
                ids[t][i] = slot.id;
            }
            tables_[t].reset();
        }
        return ids;
    }

    // Numbers the types of table 0: pinned ones first, then in the order of first sight, which in a bounded scan is
    // that of the ids.
    void number_types(const std::vector<std::vector<int32_t>> &ids) {
        const size_t n = tables_[0]->types().size();
        type_of_id_.assign(n, -1);
        id_of_type_.reserve(n);
        const auto number = [&](int32_t id) {
            if (type_of_id_[id] >= 0) return;
            type_of_id_[id] = static_cast<int32_t>(id_of_type_.size());
            id_of_type_.push_back(id);
        };
        const size_t in_order = bounded_ ? n : pinned_;
        for (size_t i = 0; i < in_order; ++i) number(static_cast<int32_t>(i));
        for (const Span &span : first_seen_) {
            for (int64_t id = span.begin; id < span.end; ++id) number(ids[span.table][id]);
        }
    }

    size_t pinned_;
    bool bounded_;
    int64_t words_read_ = 0;
    std::vector<std::unique_ptr<Table>> tables_;
    std::vector<std::unique_ptr<Reader>> readers_;  // one a table; none once the scan has finished
    std::vector<Segment> segments_;
    std::vector<Span> first_seen_;
    std::vector<int32_t> id_of_type_, type_of_id_;  // ids of table 0
};

}  // namespace w2v
