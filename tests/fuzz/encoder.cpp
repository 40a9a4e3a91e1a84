// Fuzzes the native encoder within an embedded Python: ids and counts are those of Python's own dictionaries.
//
// An input: two bytes (words of the vocabulary, how sentences are held), then strings, each behind a byte that says its
// length and kind. Python's objects come from malloc (PYTHONMALLOC), so that the sanitizer sees a byte read beside one.
// Built and run by `python -m tests.fuzz encoder`.

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "../../kernels/native/encoder.cpp"

namespace {

void require(bool holds, const char *what) {
    if (holds) return;
    std::fprintf(stderr, "the encoder is wrong: %s\n", what);
    std::abort();
}

class Input {
  public:
    Input(const uint8_t *data, size_t size) : data_(data), size_(size) {}
    bool ended() const { return at_ >= size_; }
    unsigned byte() { return ended() ? 0 : data_[at_++]; }

    // A str of one of CPython's three kinds, a number, bytes or a tuple.
    py::object token() {
        const unsigned head = byte();
        const size_t length = std::min<size_t>(head & 31, size_ - at_);
        const uint8_t *from = data_ + at_;
        at_ += length;
        if (head >= 32 * 5) {
            const py::bytes raw(reinterpret_cast<const char *>(from), length);
            if (head >= 32 * 7) return py::make_tuple(raw, length);
            return head >= 32 * 6 ? py::object(py::int_(length)) : py::object(raw);
        }
        std::vector<uint32_t> letters(from, from + length);
        for (uint32_t &letter : letters) {
            if (head >= 32 * 3) letter += 0x3040;            // two bytes a letter
            if (head >= 32 * 4) letter += 0x1F600 - 0x3040;  // four
        }
        PyObject *text = PyUnicode_FromKindAndData(PyUnicode_4BYTE_KIND, letters.data(), letters.size());
        if (!text) throw py::error_already_set();
        return py::reinterpret_steal<py::object>(text);
    }

  private:
    const uint8_t *data_;
    size_t size_, at_ = 0;
};

void compare(Input input, const py::module_ &module) {
    const unsigned words = input.byte(), held = input.byte();
    py::dict index;
    for (unsigned i = 0; i < words % 24 && !input.ended(); ++i) {
        const py::object token = input.token();
        if (!index.contains(token)) index[token] = py::len(index) * 3 + (held & 1) * 7;
    }
    py::list sentences;
    std::vector<int32_t> ids;
    py::dict counts;
    int64_t read = 0;
    while (!input.ended()) {
        py::list sentence;
        const size_t before = ids.size();
        for (unsigned n = input.byte() % 12; n && !input.ended(); --n) {
            const py::object token = input.token();
            sentence.append(token);
            ++read;
            counts[token] = counts.contains(token) ? counts[token].cast<int64_t>() + 1 : 1;
            if (index.contains(token)) ids.push_back(index[token].cast<int32_t>());
        }
        if (ids.size() > before) ids.back() |= SENTENCE_END;
        sentences.append(held & 2 ? py::object(py::tuple(sentence)) : py::object(sentence));
    }
    const py::object source = held & 4 ? py::object(py::iter(sentences)) : py::object(sentences);
    const int64_t at_once = held & 8 ? 1 : 1000;

    py::object encoder = module.attr("Encoder")(index), reading = module.attr("Sentences")(source);
    std::vector<int32_t> found;
    int64_t tokens = 0, several = 0;
    for (bool ended = false; !ended;) {
        const py::tuple part = encoder.attr("add")(reading, at_once);
        const auto array = part[0].cast<py::array_t<int32_t>>();
        found.insert(found.end(), array.data(), array.data() + array.size());
        tokens += part[1].cast<int64_t>();
        several += part[2].cast<int64_t>();
        ended = part[3].cast<bool>();
    }
    require(found == ids, "ids");
    require(tokens == read && several == static_cast<int64_t>(py::len(sentences)), "what was read");

    const py::object counter = module.attr("Counter")(), again = module.attr("Sentences")(sentences);
    while (!counter.attr("add")(again, at_once).cast<py::tuple>()[2].cast<bool>()) {
    }
    const py::dict counted = counter.attr("counts")();
    require(counted.equal(counts), "counts");
    require(py::list(counted).equal(py::list(counts)), "the order of first sight");
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int *, char ***) {
    PyImport_AppendInittab("_encoder", PyInit__encoder);
    Py_InitializeEx(0);
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const auto *module = new py::module_(py::module_::import("_encoder"));
    try {
        compare(Input(data, size), *module);
    } catch (const std::exception &error) {
        std::fprintf(stderr, "the encoder raised: %s\n", error.what());
        std::abort();
    }
    return 0;
}
