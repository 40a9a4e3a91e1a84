// Fuzzes the native scanner: what it makes of a text, however that is cut and shared out, is what plain loops make of it.
//
// An input: five bytes (threads, bound on types, pinned words, bytes a cut, repetitions), then the text. Built and run
// by `python -m tests.fuzz scanner`.

#define W2V_SEGMENT_BYTES 48  // several segments in a small text: threads share it out

#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "../../kernels/native/scan_threads.hpp"

namespace {

constexpr size_t HEADER = 5;
constexpr size_t BOUNDED_BYTES = 256;  // each time types are dropped the table is made anew, which takes long

void require(bool holds, const char *what) {
    if (holds) return;
    std::fprintf(stderr, "the scanner is wrong: %s\n", what);
    std::abort();
}

// Types in the order of first sight (pinned ones first), the type of each word read and where sentences end: interner.py
// in plain loops, its bound on types included.
struct Oracle {
    std::vector<std::string> words;  // by number; a dropped type that comes again has another number
    std::vector<int64_t> counts;
    std::vector<bool> living;
    std::vector<size_t> stream;
    std::vector<bool> ends;

    Oracle(const std::string &text, const std::vector<std::string> &pinned, size_t max_types)
        : pinned_(pinned.size()), max_types_(max_types) {
        for (const std::string &word : pinned) add(word);
        std::string word;
        for (size_t i = 0; i <= text.size(); ++i) {
            const char c = i < text.size() ? text[i] : ' ';
            if (c == ' ' || (c >= '\t' && c <= '\r')) {
                if (!word.empty()) see(word);
                word.clear();
            } else {
                word += c;
            }
            if (c == '\n' && !ends.empty()) ends.back() = true;
        }
    }

  private:
    size_t add(const std::string &word) {
        number_[word] = words.size();
        words.push_back(word);
        counts.push_back(0);
        living.push_back(true);
        return words.size() - 1;
    }

    void see(const std::string &word) {
        auto found = number_.find(word);
        if (found == number_.end()) {
            if (max_types_ && number_.size() - pinned_ == max_types_) drop();
            add(word);
            found = number_.find(word);
        }
        ++counts[found->second];
        stream.push_back(found->second);
        ends.push_back(false);
    }

    void drop() {
        std::vector<int64_t> sorted;
        for (size_t i = pinned_; i < words.size(); ++i) {
            if (living[i]) sorted.push_back(counts[i]);
        }
        std::sort(sorted.begin(), sorted.end());
        const int64_t most = sorted[(sorted.size() - 1) / 4];
        for (size_t i = pinned_; i < words.size(); ++i) {
            if (living[i] && counts[i] <= most) {
                living[i] = false;
                number_.erase(words[i]);
            }
        }
    }

    size_t pinned_, max_types_;
    std::unordered_map<std::string, size_t> number_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < HEADER) return 0;
    const int threads = 1 + data[0] % 3;
    const size_t max_types = data[1] % 16, pinned_count = data[2] % 3, repetitions = max_types ? 1 : 1 + data[4] % 8;
    const std::string once(reinterpret_cast<const char *>(data) + HEADER, size - HEADER);
    std::string text;
    for (size_t i = 0; i < repetitions; ++i) text += once;
    if (max_types) text.resize(std::min<size_t>(text.size(), BOUNDED_BYTES));
    const size_t cut = threads > 1 ? std::max<size_t>(1 + data[3], text.size() / 4 + 1) : 1 + data[3];
    const std::vector<std::string> all_pinned{"a", "a-word-of-more-than-16-bytes"};
    const std::vector<std::string> pinned(all_pinned.begin(), all_pinned.begin() + pinned_count);
    const Oracle oracle(text, pinned, max_types);

    w2v::Scan scan({pinned.begin(), pinned.end()}, max_types, threads);
    // Exactly as long as the text: a byte read behind it is seen.
    std::vector<char> exact(text.begin(), text.end());
    const auto limit = static_cast<int64_t>(exact.size());
    struct Token {
        int table;
        int32_t id;
        bool end;
    };
    std::vector<Token> tokens;
    const auto step = static_cast<int64_t>(cut);
    for (int64_t begin = 0; begin < limit; begin += step) {
        const size_t count = scan.read({exact.data(), -1, 0, limit}, begin, std::min(begin + step, limit));
        for (size_t i = 0; i < count; ++i) {
            const w2v::Segment &segment = scan.segment(i);
            if (segment.ends_before && !tokens.empty()) tokens.back().end = true;
            for (const int32_t id : segment.ids) tokens.push_back({segment.table, id & INT32_MAX, id < 0});
        }
        if (max_types && data[0] & 128) {
            const std::vector<int32_t> renumbered = scan.renumber();
            for (Token &token : tokens) token.id = token.id < 0 ? -1 : renumbered.at(static_cast<size_t>(token.id));
        }
    }
    require(scan.words_read() == static_cast<int64_t>(oracle.stream.size()), "words read");
    require(tokens.size() == oracle.stream.size(), "words kept");
    const w2v::Types types = scan.finish();

    std::vector<size_t> order;  // the living types by number
    std::vector<int64_t> rank(oracle.words.size(), -1);
    for (size_t i = 0; i < oracle.words.size(); ++i) {
        if (!oracle.living[i]) continue;
        rank[i] = static_cast<int64_t>(order.size());
        order.push_back(i);
    }
    require(types.counts.size() == order.size() && scan.size() == order.size(), "the number of types");
    for (size_t i = 0; i < order.size(); ++i) {
        require(scan.type(i).view() == oracle.words[order[i]], "a type's word");
        require(types.counts[i] == oracle.counts[order[i]], "a type's count");
        require(scan.find(oracle.words[order[i]]) == static_cast<int64_t>(i), "where a word is found");
    }
    for (size_t i = 0; i < tokens.size(); ++i) {
        const Token &token = tokens[i];
        const int64_t type = token.id < 0 ? -1 : types.type_of.at(token.table).at(static_cast<size_t>(token.id));
        require(type == rank[oracle.stream[i]], "a word's type");
        require(token.end == oracle.ends[i], "the end of a sentence");
    }
    return 0;
}
