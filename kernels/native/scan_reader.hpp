// One thread's reading: from a range of a text to the ids of the words that begin in it.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "scan_table.hpp"

namespace w2v {

#if !defined(W2V_SEGMENT_BYTES)  // tests take less, so that a small text has many
#define W2V_SEGMENT_BYTES (size_t{1} << 19)
#endif
constexpr size_t SEGMENT_BYTES = W2V_SEGMENT_BYTES;  // a thread's share: small against a step, large against its start
constexpr size_t MAX_WORD_BYTES = size_t{1} << 30;  // as in blocks.py; it also keeps offsets in a segment below 2^32
constexpr size_t TEXT_PAD = 64;                     // readable bytes after a segment's text, all of them spaces
constexpr size_t BATCH_BYTES = 4096;                // text whose word borders are found at once: stays in L1
constexpr size_t WORDS_AHEAD = 32;                  // hashed, and their slots prefetched, before the first look-up
constexpr size_t EXTEND_BYTES = 4096;               // read at a time to complete a segment's last word
constexpr int32_t SENTENCE_END = INT32_MIN;
constexpr const char *WORD_TOO_LONG = "has a word of more than 1 GiB: is it text with spaces?";

// Where text comes from: a block in memory or a range of a file.
struct Source {
    const char *block;  // null: read from `fd`
    int fd;
    int64_t first, limit;  // no byte before the one or from the other on is looked at

    void read(char *to, int64_t from, size_t n) const {
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
    std::vector<int32_t> ids;  // the sign bit marks the last word of a sentence
    bool ends_before = false;  // a newline before the first word
    int table = 0;
    int32_t first_new = 0, end_new = 0;  // ids of the types that were met first here
};

class Reader {
  public:
    // Interns the words that begin in [begin, end).
    void read(const Source &source, int64_t begin, int64_t end, Table &table, Segment &segment) {
        segment.ids.clear();
        segment.ends_before = false;
        const size_t before = begin > source.first ? 1 : 0;
        size_t n = static_cast<size_t>(end - begin) + before;
        reserve(n);
        source.read(text_.data(), begin - static_cast<int64_t>(before), n);
        size_t start = 0;
        if (before) {  // the word at the cut, if any, belongs to the range before
            while (start < n && !is_space(text_[start])) ++start;
            if (start == n) return;
        }
        if (!is_space(text_[n - 1])) n = complete_last_word(source, n, end);
        std::memset(text_.data() + n, ' ', TEXT_PAD);
        intern(text_.data() + start, n - start, table, segment);
    }

  private:
    void reserve(size_t n) {
        if (text_.size() < n + TEXT_PAD) text_.resize(std::max(n + TEXT_PAD, text_.size() / 2 * 3));
    }

    // Reads on from `end`, where the n bytes so far end, up to white space; returns the bytes before it.
    size_t complete_last_word(const Source &source, size_t n, int64_t end) {
        while (end < source.limit) {
            const size_t more = static_cast<size_t>(std::min<int64_t>(source.limit - end, EXTEND_BYTES));
            reserve(n + more);
            source.read(text_.data() + n, end, more);
            for (size_t i = 0; i < more; ++i) {
                if (is_space(text_[n + i])) return n + i;
            }
            n += more;
            end += static_cast<int64_t>(more);
            if (n > MAX_WORD_BYTES + 2 * SEGMENT_BYTES) throw std::length_error(WORD_TOO_LONG);
        }
        return n;
    }

    void intern(const char *text, size_t n, Table &table, Segment &segment) {
        size_t borders = 0;
        uint64_t in_word = 0;
        // One byte more than the text: the space after it ends the last word.
        for (size_t base = 0; base < n + 1; base += BATCH_BYTES) {
            const size_t stop = std::min(base + BATCH_BYTES, n + 1);
            borders = find_borders(text, base, stop, segment.ids.size(), borders, in_word);
            intern_words(text, borders / 2, table, segment);
            mark_sentence_ends(segment);
            if (borders & 1) borders_[0] = borders_[borders - 1];
            borders &= 1;
        }
    }

    // Appends the borders of words in [base, stop) to the `borders` there are, and sets words_before_newline_ to how
    // many words of the segment, `words` before these, end before each newline. Returns how many borders there are.
    size_t find_borders(
        const char *text, size_t base, size_t stop, size_t words, size_t borders, uint64_t &in_word
    ) {
        words_before_newline_.clear();
        for (size_t at = base; at < stop; at += GROUP) {
            const Masks masks = classify(reinterpret_cast<const unsigned char *>(text + at));
            const uint64_t letters = ~masks.space;
            uint64_t changes = letters ^ (letters << 1 | in_word);
            in_word = letters >> (GROUP - 1);
            for (uint64_t newlines = masks.newline; __builtin_expect(newlines != 0, 0); newlines &= newlines - 1) {
                const uint64_t up_to = newlines ^ (newlines - 1);
                borders = append_borders(changes & up_to, at, borders);
                changes &= ~up_to;
                words_before_newline_.push_back(words + borders / 2);
            }
            borders = append_borders(changes, at, borders);
        }
        return borders;
    }

    size_t append_borders(uint64_t changes, size_t at, size_t borders) {
        for (; changes; changes &= changes - 1) {
            borders_[borders++] = static_cast<uint32_t>(at + static_cast<size_t>(__builtin_ctzll(changes)));
        }
        return borders;
    }

    void intern_words(const char *text, size_t words, Table &table, Segment &segment) {
        const size_t first = segment.ids.size();
        segment.ids.resize(first + words);
        int32_t *ids = segment.ids.data() + first;
        Word ahead[WORDS_AHEAD];
        for (size_t i = 0; i < words; i += WORDS_AHEAD) {
            const size_t count = std::min(WORDS_AHEAD, words - i);
            for (size_t k = 0; k < count; ++k) {
                const uint32_t begin = borders_[2 * (i + k)];
                const uint32_t length = borders_[2 * (i + k) + 1] - begin;
                if (__builtin_expect(length > MAX_WORD_BYTES, 0)) throw std::length_error(WORD_TOO_LONG);
                ahead[k] = make_word(text + begin, length);
                table.prefetch(ahead[k].hash);
            }
            for (size_t k = 0; k < count; ++k) {
                Slot &slot = table.get(ahead[k]);
                ++slot.count;
                ids[i + k] = slot.id;
            }
        }
    }

    void mark_sentence_ends(Segment &segment) const {
        for (const size_t words : words_before_newline_) {
            if (words) {
                segment.ids[words - 1] |= SENTENCE_END;
            } else {
                segment.ends_before = true;
            }
        }
    }

    std::vector<char> text_;
    std::vector<size_t> words_before_newline_;
    // Begin, end, begin, end... of words as offsets in the text; a last begin may stand alone. A batch has as many at
    // most as bytes, in whole groups, and the begin left from the batch before.
    uint32_t borders_[BATCH_BYTES + GROUP + 2];
};

}  // namespace w2v
