// The native scanner as a Python module (w2vfast._scanner): splits text into words, gives each distinct word (type) an
// id, counts it.
//
// It does what w2vfast/interner.py does, word for word, on ranges of bytes shared out among threads. A word belongs to
// the range in which it begins, a newline to the range in which it lies: ranges may be cut anywhere.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdlib>
#include <optional>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "scan_threads.hpp"

namespace py = pybind11;

namespace {

template <class T>
py::array_t<T> to_array(const std::vector<T> &values) {
    return py::array_t<T>(static_cast<py::ssize_t>(values.size()), values.data());
}

using Numbers = py::array_t<int64_t, py::array::c_style | py::array::forcecast>;

class Scanner {
  public:
    Scanner(const std::vector<py::bytes> &pinned, std::optional<int64_t> max_types, int workers) {
        if (workers < 1 || (max_types && *max_types < 1)) {
            throw std::invalid_argument("workers and max_types must be positive");
        }
        const std::vector<std::string_view> words(pinned.begin(), pinned.end());
        scan_ = std::make_unique<w2v::Scan>(words, static_cast<size_t>(max_types.value_or(0)), workers);
    }

    Scanner(const Scanner &) = delete;
    Scanner &operator=(const Scanner &) = delete;

    py::list add_block(const py::bytes &block) {
        const std::string_view text = block;
        const int64_t size = static_cast<int64_t>(text.size());
        return add({text.data(), -1, 0, size}, 0, size);
    }

    // Interns the words of a file that begin in [begin, end); its text is [start, size).
    py::list add_file(int fd, int64_t start, int64_t begin, int64_t end, int64_t size) {
        return add({nullptr, fd, start, size}, begin, end);
    }

    int64_t read() const { return scan_->words_read(); }
    int64_t next_id() const { return scan_->next_id(); }
    py::array_t<int32_t> renumber() { return to_array(scan_->renumber()); }

    py::tuple finish() {
        w2v::Types types;
        {
            py::gil_scoped_release release;
            types = scan_->finish();
        }
        py::list type_of;
        for (const std::vector<int32_t> &table : types.type_of) type_of.append(to_array(table));
        const w2v::FlawCounts &flawed = types.flawed;
        return py::make_tuple(
            to_array(types.counts), to_array(types.undecodable), type_of,
            py::make_tuple(flawed.undecodable, flawed.binary, flawed.foreign)
        );
    }

    // The words of the given types, as bytes.
    py::list words(const Numbers &types) const {
        return listed(types, [](std::string_view word) { return PyBytes_FromStringAndSize(word.data(), word.size()); });
    }

    // The same as str, decoded with replacement.
    py::list texts(const Numbers &types) const {
        return listed(types, [](std::string_view word) {
            return PyUnicode_DecodeUTF8(word.data(), word.size(), "replace");
        });
    }

    int64_t find(const py::bytes &word) const { return scan_->find(word); }

    // The bytes of all types by number, one after another, and how long each is.
    py::tuple packed() const {
        size_t bytes = 0;
        for (size_t i = 0; i < scan_->size(); ++i) bytes += scan_->type(i).length;
        py::array_t<uint8_t> text(static_cast<py::ssize_t>(bytes));
        py::array_t<int64_t> lengths(static_cast<py::ssize_t>(scan_->size()));
        uint8_t *to = text.mutable_data();
        for (size_t i = 0; i < scan_->size(); ++i) {
            const w2v::Type &type = scan_->type(i);
            std::memcpy(to, type.text, type.length);
            lengths.mutable_data()[i] = type.length;
            to += type.length;
        }
        return py::make_tuple(std::move(text), std::move(lengths));
    }

  private:
    py::list add(const w2v::Source &source, int64_t begin, int64_t end) {
        size_t count;
        try {
            py::gil_scoped_release release;
            count = scan_->read(source, begin, end);
        } catch (const std::system_error &error) {
            errno = error.code().value();
            PyErr_SetFromErrno(PyExc_OSError);
            throw py::error_already_set();
        }
        const py::object owner = py::cast(this, py::return_value_policy::reference);
        py::list pieces;
        for (size_t i = 0; i < count; ++i) {
            const w2v::Segment &segment = scan_->segment(i);
            // A view: the ids are copied out before the next call, which overwrites them.
            py::array_t<int32_t> ids(static_cast<py::ssize_t>(segment.ids.size()), segment.ids.data(), owner);
            pieces.append(py::make_tuple(std::move(ids), segment.ends_before, segment.table));
        }
        return pieces;
    }

    template <class Make>
    py::list listed(const Numbers &types, Make make) const {
        py::list words(types.size());
        for (py::ssize_t i = 0; i < types.size(); ++i) {
            const int64_t number = types.data()[i];
            if (number < 0 || static_cast<size_t>(number) >= scan_->size()) throw py::index_error("no such type");
            PyObject *word = make(scan_->type(number).view());
            if (!word) throw py::error_already_set();
            PyList_SET_ITEM(words.ptr(), i, word);
        }
        return words;
    }

    std::unique_ptr<w2v::Scan> scan_;
};

// Does what Renumber in w2vfast/tokens.py says.
using Ids = py::array_t<int32_t, py::array::c_style>;

std::pair<int64_t, bool> renumber(const Ids &ids, const Ids &table, Ids &out) {
    if (out.size() < ids.size()) throw std::invalid_argument("out is too small");
    const int32_t *from = ids.data();
    const int32_t *entries = table.data();
    int32_t *to = out.mutable_data();
    const int64_t n = ids.size();
    const auto size = static_cast<uint64_t>(table.size());
    int64_t kept = 0;
    bool ends_before = false;
    py::gil_scoped_release release;
    for (int64_t i = 0; i < n; ++i) {
        const int32_t token = from[i];
        const auto id = static_cast<uint32_t>(token) & INT32_MAX;
        if (__builtin_expect(id >= size, 0)) throw std::out_of_range("an id outside the table");
        // Written whether kept or not: a branch would be mispredicted.
        const int32_t entry = entries[id];
        to[kept] = entry;
        kept += entry >= 0;
        if (__builtin_expect(token < 0, 0)) {
            if (kept) {
                to[kept - 1] |= w2v::SENTENCE_END;
            } else {
                ends_before = true;
            }
        }
    }
    return {kept, ends_before};
}

// Does what number_words in w2vfast/interner.py says.
py::array_t<int64_t> number_words(const py::array_t<uint8_t, py::array::c_style> &text, const Numbers &lengths) {
    py::array_t<int64_t> numbers(lengths.size());
    const auto *from = reinterpret_cast<const char *>(text.data());
    const char *end = from + text.size();
    w2v::Table table(0, 0);
    std::string storage;
    for (py::ssize_t i = 0; i < lengths.size(); ++i) {
        const int64_t length = lengths.data()[i];
        if (length < 1 || length > end - from) throw std::invalid_argument("lengths do not fit the text");
        const std::string_view word(from, static_cast<size_t>(length));
        numbers.mutable_data()[i] = table.get(w2v::make_padded_word(word, storage)).id;
        from += length;
    }
    return numbers;
}

// Gives memory that was freed, by threads too, back to the system, where the C library would hold it for later.
void trim() {
#if defined(__GLIBC__)
    malloc_trim(0);
#endif
}

}  // namespace

PYBIND11_MODULE(_scanner, m) {
    m.doc() = "Splits text into words, interns and counts them, in parallel; see w2vfast/interner.py for the meaning.";
    py::class_<Scanner>(m, "Scanner")
        .def(
            py::init<const std::vector<py::bytes> &, std::optional<int64_t>, int>(), py::arg("pinned"),
            py::arg("max_types"), py::arg("workers")
        )
        .def("add_block", &Scanner::add_block, py::arg("block"))
        .def(
            "add_file", &Scanner::add_file, py::arg("fd"), py::arg("start"), py::arg("begin"), py::arg("end"),
            py::arg("size")
        )
        .def_property_readonly("read", &Scanner::read)
        .def_property_readonly("next_id", &Scanner::next_id)
        .def("renumber", &Scanner::renumber)
        .def("finish", &Scanner::finish)
        .def("words", &Scanner::words, py::arg("types"))
        .def("texts", &Scanner::texts, py::arg("types"))
        .def("find", &Scanner::find, py::arg("word"))
        .def("packed", &Scanner::packed);
    m.def("trim", &trim);
    m.def("number_words", &number_words, py::arg("text"), py::arg("lengths"));
    m.def("renumber", &renumber, py::arg("ids").noconvert(), py::arg("table").noconvert(), py::arg("out").noconvert());
}
