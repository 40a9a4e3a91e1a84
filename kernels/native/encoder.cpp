// The native encoder as a Python module (w2vfast._encoder): sentences of tokens into ids, or into counts.
//
// It does what w2vfast/encoder.py's Python twins do, token for token, through CPython's dictionaries: a str keeps its
// hash, so that a look-up costs little more than the memory that it touches. Any hashable token works; those that are
// no str may run Python code in their comparison, so nothing is held by a borrowed reference over a look-up.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>
#include <vector>

namespace py = pybind11;

namespace {

constexpr int32_t SENTENCE_END = INT32_MIN;

// Calls body(token) for each token of a sentence, an iterable of any kind; a list or tuple is walked where it lies.
template <class Body>
void each_token(PyObject *sentence, Body &&body) {
    if (PyList_CheckExact(sentence) || PyTuple_CheckExact(sentence)) {
        const auto keep = py::reinterpret_borrow<py::object>(sentence);
        // The size is asked each time: Python code run by a look-up may change a list.
        for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(sentence); ++i) {
            PyObject *token = PySequence_Fast_GET_ITEM(sentence, i);
            Py_INCREF(token);
            const auto held = py::reinterpret_steal<py::object>(token);
            body(token);
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
PyObject *find(PyObject *dictionary, PyObject *token) {
    PyObject *value = PyDict_GetItemWithError(dictionary, token);
    if (!value && PyErr_Occurred()) throw py::error_already_set();
    return value;
}

// What was taken from an iterator of sentences at once; `ended` where it has no more.
struct Taken {
    int64_t tokens = 0, sentences = 0;
    bool ended = false;
};

// Calls body(sentence) for sentences of an iterator, each as soon as it comes, since a generator may fill one list
// again and again, until `tokens` or more were counted in `taken`. It is not asked again after its end: some begin anew.
template <class Body>
void take(const py::object &iterator, int64_t tokens, Taken &taken, Body &&body) {
    while (taken.tokens < tokens) {
        const auto sentence = py::reinterpret_steal<py::object>(PyIter_Next(iterator.ptr()));
        if (!sentence) {
            if (PyErr_Occurred()) throw py::error_already_set();
            taken.ended = true;
            return;
        }
        ++taken.sentences;
        body(sentence.ptr());
    }
}

// Returns (int32 ids, tokens, sentences, ended) of the next sentences of an iterator, `tokens` tokens or somewhat more:
// the ids of those that `index` has, the last one of a sentence with its sign bit set.
py::tuple encode(const py::object &iterator, const py::dict &index, int64_t tokens) {
    std::vector<int32_t> ids;
    Taken taken;
    take(iterator, tokens, taken, [&](PyObject *sentence) {
        const size_t before = ids.size();
        each_token(sentence, [&](PyObject *token) {
            ++taken.tokens;
            PyObject *value = find(index.ptr(), token);
            if (!value) return;
            const long long id = PyLong_AsLongLong(value);
            if (id == -1 && PyErr_Occurred()) throw py::error_already_set();
            if (id < 0 || id > INT32_MAX) {
                throw py::value_error("an id lies outside 0 .. 2^31 - 1: " + std::to_string(id));
            }
            ids.push_back(static_cast<int32_t>(id));
        });
        if (ids.size() > before) ids.back() |= SENTENCE_END;
    });
    const py::array_t<int32_t> array(static_cast<py::ssize_t>(ids.size()), ids.data());
    return py::make_tuple(array, taken.tokens, taken.sentences, taken.ended);
}

// Counts tokens in the order of their first sight.
class Counter {
  public:
    // Counts the next sentences of an iterator; returns (tokens, sentences, ended) as `encode` does.
    py::tuple add(const py::object &iterator, int64_t tokens) {
        Taken taken;
        take(iterator, tokens, taken, [&](PyObject *sentence) {
            each_token(sentence, [&](PyObject *token) {
                ++taken.tokens;
                PyObject *value = find(places_.ptr(), token);
                if (value) {
                    ++counts_[PyLong_AsSize_t(value)];
                    return;
                }
                const py::int_ place(counts_.size());
                if (PyDict_SetItem(places_.ptr(), token, place.ptr())) throw py::error_already_set();
                counts_.push_back(1);
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
    py::dict places_;
    std::vector<int64_t> counts_;
};

}  // namespace

PYBIND11_MODULE(_encoder, m) {
    m.doc() = "Sentences of tokens into ids or counts; used through w2vfast.encoder.";
    m.def("encode", &encode, py::arg("iterator"), py::arg("index"), py::arg("tokens"));
    py::class_<Counter>(m, "Counter")
        .def(py::init<>())
        .def("add", &Counter::add, py::arg("iterator"), py::arg("tokens"))
        .def("counts", &Counter::counts);
}
