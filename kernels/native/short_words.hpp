// A hash table from short str to whole numbers, keyed by their characters: what looks words up in front of a dictionary.
//
// A dictionary's look-up touches the token, its own entry and the key that stands there, each a miss in the caches where
// there are many words. Here a key lies in its slot, so that the token and one line are all. Every exact str of up to 15
// bytes has one key only, since CPython keeps a string in the narrowest kind that holds it.
#pragma once

#include <Python.h>

#include <cstdint>
#include <cstring>
#include <vector>

namespace w2v {

class ShortWords {
  public:
    struct Key {
        uint64_t low, high;  // the characters; in the last byte how many bytes they take, and of which kind
        bool operator==(const Key &other) const { return low == other.low && high == other.high; }
    };

    static constexpr int32_t NONE = -1;

    explicit ShortWords(size_t words = 0) { resize(words); }

    // Makes the key of a token; returns whether it has one.
    static bool key_of(PyObject *token, Key &key) {
        static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "keys are made by shifting bytes");
        if (!PyUnicode_CheckExact(token) || !PyUnicode_IS_COMPACT(token)) return false;
        const auto kind = static_cast<uint64_t>(PyUnicode_KIND(token));
        const uint64_t bytes = static_cast<uint64_t>(PyUnicode_GET_LENGTH(token)) * kind;
        if (bytes > 15 || bytes == 0) return false;
        // The last 8 bytes lie in the object however few there are: its header, of more than 8, comes before them.
        const char *data = static_cast<const char *>(PyUnicode_DATA(token));
        const uint64_t last = load(data + bytes - 8), meta = (bytes | (kind << 4)) << 56;
        if (bytes <= 8) {
            key = {last >> (64 - 8 * bytes), meta};
        } else {
            key = {load(data), (last >> (128 - 8 * bytes)) | meta};
        }
        return true;
    }

    int32_t find(const Key &key) const {
        for (size_t at = hash(key);; at = (at + 1) & mask_) {
            if (keys_[at] == key) return values_[at];
            if (keys_[at].high == 0) return NONE;
        }
    }

    // Adds a key that is not there.
    void insert(const Key &key, int32_t value) {
        if (++used_ * 3 > keys_.size() * 2) grow();
        place(key, value);
    }

  private:
    static uint64_t load(const char *bytes) {
        uint64_t word;
        std::memcpy(&word, bytes, sizeof word);
        return word;
    }

    size_t hash(const Key &key) const {
        const uint64_t mixed = (key.low ^ (key.high * 0x9E3779B97F4A7C15u)) * 0xD6E8FEB86659FD93u;
        return static_cast<size_t>((mixed ^ (mixed >> 32)) * 0xD6E8FEB86659FD93u >> 32) & mask_;
    }

    void resize(size_t words) {
        size_t slots = 64;
        while (slots * 2 < words * 3) slots *= 2;
        keys_.assign(slots, Key{0, 0});
        values_.assign(slots, NONE);
        mask_ = slots - 1;
    }

    void place(const Key &key, int32_t value) {
        size_t at = hash(key);
        while (keys_[at].high != 0) at = (at + 1) & mask_;
        keys_[at] = key;
        values_[at] = value;
    }

    void grow() {
        std::vector<Key> keys;
        std::vector<int32_t> values;
        keys.swap(keys_);
        values.swap(values_);
        resize(keys.size() * 4 / 3);
        for (size_t i = 0; i < keys.size(); ++i) {
            if (keys[i].high != 0) place(keys[i], values[i]);
        }
    }

    std::vector<Key> keys_;
    std::vector<int32_t> values_;
    size_t used_ = 0, mask_ = 0;
};

}  // namespace w2v
