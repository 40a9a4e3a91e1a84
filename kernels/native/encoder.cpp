// The native encoder as a Python module (w2vfast._encoder): sentences of tokens into ids, or into counts.
//
// It does what w2vfast/encoder.py's Python twins do, token for token. Short str are looked up in a table of their own
// (short_words.hpp), all else through CPython's dictionaries: any hashable token works. Tokens that are no str may run
// Python code in their comparison, so nothing is held by a borrowed reference over a look-up.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>
#include <vector>

#include "short_words.hpp"

namespace py = pybind11;
using w2v::ShortWords;

namespace {

constexpr int32_t SENTENCE_END = INT32_MIN;

bool has_items(PyObject *object) { return PyList_CheckExact(object) || PyTuple_CheckExact(object); }

// Sentences in memory are fetched so far ahead, in steps: what the next step looks at has come by then.
constexpr Py_ssize_t SENTENCE_AHEAD = 12, ITEMS_AHEAD = 8, FIRST_TOKENS_AHEAD = 4, FIRST_TOKENS = 8, TOKENS_AHEAD = 8;

void fetch(const void *address) { __builtin_prefetch(address); }

// The characters of a short str lie in its first two lines.
void fetch_token(PyObject *token) {
    fetch(token);
    fetch(reinterpret_cast<const char *>(token) + 63);
}

// Fetches of a list or tuple of sentences what will be walked after the `at`-th.
void fetch_ahead(PyObject *sentences, Py_ssize_t at) {
    const Py_ssize_t size = PySequence_Fast_GET_SIZE(sentences);
    PyObject **const items = PySequence_Fast_ITEMS(sentences);
    if (at + SENTENCE_AHEAD < size) fetch(items[at + SENTENCE_AHEAD]);
    if (at + ITEMS_AHEAD < size && has_items(items[at + ITEMS_AHEAD])) {
        fetch(PySequence_Fast_ITEMS(items[at + ITEMS_AHEAD]));
    }
    if (at + FIRST_TOKENS_AHEAD < size && has_items(items[at + FIRST_TOKENS_AHEAD])) {
        PyObject *sentence = items[at + FIRST_TOKENS_AHEAD];
        const Py_ssize_t tokens = std::min(PySequence_Fast_GET_SIZE(sentence), FIRST_TOKENS);
        for (Py_ssize_t i = 0; i < tokens; ++i) fetch_token(PySequence_Fast_ITEMS(sentence)[i]);
    }
}

// What comes out of an iterable of sentences, one by one: a list or tuple is walked where it lies, as its iterator
// would; anything else is asked for each sentence, and not again after its end, since some iterators begin anew.
class Sentences {
  public:
    explicit Sentences(const py::object &iterable) {
        if (has_items(iterable.ptr())) {
            items_ = iterable;
        } else {
            iterator_ = py::reinterpret_steal<py::object>(PyObject_GetIter(iterable.ptr()));
            if (!iterator_) throw py::error_already_set();
        }
    }

    // Returns the next sentence, null at the end.
    py::object next() {
        if (items_) {
            // The size is asked each time: Python code may change a list meanwhile.
            if (at_ >= PySequence_Fast_GET_SIZE(items_.ptr())) return py::object();
            fetch_ahead(items_.ptr(), at_);
            return py::reinterpret_borrow<py::object>(PySequence_Fast_GET_ITEM(items_.ptr(), at_++));
        }
        auto sentence = py::reinterpret_steal<py::object>(PyIter_Next(iterator_.ptr()));
        if (!sentence && PyErr_Occurred()) throw py::error_already_set();
        return sentence;
    }

  private:
    py::object items_, iterator_;
    Py_ssize_t at_ = 0;
};

// Calls body(token) for each token of a sentence, an iterable of any kind.
template <class Body>
void each_token(PyObject *sentence, Body &&body) {
    if (has_items(sentence)) {
        for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(sentence); ++i) {
            const Py_ssize_t ahead = i + TOKENS_AHEAD;
            if (ahead >= FIRST_TOKENS && ahead < PySequence_Fast_GET_SIZE(sentence)) {
                fetch_token(PySequence_Fast_GET_ITEM(sentence, ahead));
            }
            body(PySequence_Fast_GET_ITEM(sentence, i));
        }
        return;
    }
    const auto iterator = py::reinterpret_steal<py::object>(PyObject_GetIter(sentence));
    if (!iterator) throw py::error_already_set();
    while (PyObject *token = PyIter_Next(iterator.ptr())) {
        const auto held = py::reinterpret_steal<py::object>(token);
        body(token);
    }
    if (PyErr_Occurred()) throw py::error_already_set();
}

// The value of a token in a dictionary, null if it has none. Raises what the token's own code raises: TypeError for one
// that cannot be hashed.
PyObject *find(const py::dict &dictionary, PyObject *token) {
    const auto held = py::reinterpret_borrow<py::object>(token);
    PyObject *value = PyDict_GetItemWithError(dictionary.ptr(), token);
    if (!value && PyErr_Occurred()) throw py::error_already_set();
    return value;
}

// What was taken of sentences at once; `ended` where there are no more.
struct Taken {
    int64_t tokens = 0, sentences = 0;
    bool ended = false;
};

// Calls body(sentence) for sentences, each as soon as it comes, since a generator may fill one list again and again,
// until `tokens` or more were counted in `taken`.
template <class Body>
void take(Sentences &sentences, int64_t tokens, Taken &taken, Body &&body) {
    while (taken.tokens < tokens) {
        const py::object sentence = sentences.next();
        if (!sentence) {
            taken.ended = true;
            return;
        }
        ++taken.sentences;
        body(sentence.ptr());
    }
}

// Whether no exact str can equal such a key, unless it is one.
bool is_plain(PyObject *key) {
    return PyUnicode_CheckExact(key) || PyLong_CheckExact(key) || PyFloat_CheckExact(key) || PyBytes_CheckExact(key) ||
           PyTuple_CheckExact(key) || PyBool_Check(key) || key == Py_None;
}

// Ids by token, those of a dictionary from tokens to whole numbers; its short words are read at the beginning, and
// again when it has grown.
class Encoder {
  public:
    explicit Encoder(py::dict index) : index_(std::move(index)) { read_words(); }

    // Returns (int32 ids, tokens, sentences, ended) of the next sentences, `tokens` tokens or somewhat more: the ids of
    // those that the dictionary has, the last one of a sentence with its sign bit set.
    py::tuple add(Sentences &sentences, int64_t tokens) {
        std::vector<int32_t> ids;
        ids.reserve(static_cast<size_t>(tokens) + 64);
        Taken taken;
        take(sentences, tokens, taken, [&](PyObject *sentence) {
            if (PyDict_GET_SIZE(index_.ptr()) != read_) read_words();
            const size_t before = ids.size();
            each_token(sentence, [&](PyObject *token) {
                ++taken.tokens;
                const int32_t id = id_of(token);
                if (id != ShortWords::NONE) ids.push_back(id);
            });
            if (ids.size() > before) ids.back() |= SENTENCE_END;
        });
        const py::array_t<int32_t> array(static_cast<py::ssize_t>(ids.size()), ids.data());
        return py::make_tuple(array, taken.tokens, taken.sentences, taken.ended);
    }

  private:
    void read_words() {
        read_ = PyDict_GET_SIZE(index_.ptr());
        words_ = ShortWords(static_cast<size_t>(read_));
        only_plain_ = true;
        Py_ssize_t at = 0;
        PyObject *token, *value;
        while (PyDict_Next(index_.ptr(), &at, &token, &value)) {
            only_plain_ = only_plain_ && is_plain(token);
            ShortWords::Key key;
            // A value that is no id is met, and told of, where its token occurs.
            if (PyLong_CheckExact(value) && ShortWords::key_of(token, key)) {
                int overflow;
                const long long id = PyLong_AsLongLongAndOverflow(value, &overflow);
                if (!overflow && id >= 0 && id <= INT32_MAX) {
                    words_.insert(key, static_cast<int32_t>(id));
                    continue;
                }
            }
            only_plain_ = only_plain_ && !ShortWords::key_of(token, key);
        }
    }

    int32_t id_of(PyObject *token) const {
        ShortWords::Key key;
        if (ShortWords::key_of(token, key)) {
            const int32_t id = words_.find(key);
            if (id != ShortWords::NONE || only_plain_) return id;
        }
        PyObject *value = find(index_, token);
        if (!value) return ShortWords::NONE;
        const long long id = PyLong_AsLongLong(value);
        if (id == -1 && PyErr_Occurred()) throw py::error_already_set();
        if (id < 0 || id > INT32_MAX) {
            throw py::value_error("an id lies outside 0 .. 2^31 - 1: " + std::to_string(id));
        }
        return static_cast<int32_t>(id);
    }

    py::dict index_;
    ShortWords words_;
    Py_ssize_t read_ = 0;      // entries of the dictionary when its words were read
    bool only_plain_ = false;  // a short str that is none of the words has no id
};

// Counts tokens in the order of their first sight.
class Counter {
  public:
    // Counts the next sentences; returns (tokens, sentences, ended) as Encoder.add does.
    py::tuple add(Sentences &sentences, int64_t tokens) {
        Taken taken;
        take(sentences, tokens, taken, [&](PyObject *sentence) {
            each_token(sentence, [&](PyObject *token) {
                ++taken.tokens;
                ++counts_[place_of(token)];
            });
        });
        return py::make_tuple(taken.tokens, taken.sentences, taken.ended);
    }

    // The counts by token.
    py::dict counts() const {
        py::dict found;
        for (const auto &[token, place] : places_) found[token] = counts_[place.cast<size_t>()];
        return found;
    }

  private:
    size_t place_of(PyObject *token) {
        ShortWords::Key key;
        const bool is_short = ShortWords::key_of(token, key);
        if (is_short) {
            const int32_t known = words_.find(key);
            if (known != ShortWords::NONE) return static_cast<size_t>(known);
        }
        const size_t place = place_in_dictionary(token);
        if (is_short && place <= INT32_MAX) words_.insert(key, static_cast<int32_t>(place));
        return place;
    }

    size_t place_in_dictionary(PyObject *token) {
        const auto held = py::reinterpret_borrow<py::object>(token);
        if (PyObject *value = find(places_, token)) return PyLong_AsSize_t(value);
        const py::int_ place(counts_.size());
        if (PyDict_SetItem(places_.ptr(), token, place.ptr())) throw py::error_already_set();
        counts_.push_back(0);
        return counts_.size() - 1;
    }

    py::dict places_;
    ShortWords words_;
    std::vector<int64_t> counts_;
};

}  // namespace

PYBIND11_MODULE(_encoder, m) {
    m.doc() = "Sentences of tokens into ids or counts; used through w2vfast.encoder.";
    py::class_<Sentences>(m, "Sentences").def(py::init<const py::object &>(), py::arg("iterable"));
    py::class_<Encoder>(m, "Encoder")
        .def(py::init<py::dict>(), py::arg("index"))
        .def("add", &Encoder::add, py::arg("sentences"), py::arg("tokens"));
    py::class_<Counter>(m, "Counter")
        .def(py::init<>())
        .def("add", &Counter::add, py::arg("sentences"), py::arg("tokens"))
        .def("counts", &Counter::counts);
}
