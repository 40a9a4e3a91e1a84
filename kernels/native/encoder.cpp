// The native encoder as a Python module (w2vfast._encoder): lists of tokens into ids, or into counts.
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

// Returns (int32 ids, tokens read): of each sentence of a list the tokens that `index` has, the last one with its sign
// bit set.
py::tuple encode(const py::list &sentences, const py::dict &index) {
    std::vector<int32_t> ids;
    int64_t read = 0;
    for (size_t s = 0; s < sentences.size(); ++s) {
        const size_t before = ids.size();
        const py::object sentence = sentences[s];
        each_token(sentence.ptr(), [&](PyObject *token) {
            ++read;
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
    }
    return py::make_tuple(py::array_t<int32_t>(static_cast<py::ssize_t>(ids.size()), ids.data()), read);
}

// Counts tokens in the order of their first sight.
class Counter {
  public:
    // Counts the tokens of a list of sentences; returns how many there were.
    int64_t add(const py::list &sentences) {
        int64_t read = 0;
        for (size_t s = 0; s < sentences.size(); ++s) {
            const py::object sentence = sentences[s];
            each_token(sentence.ptr(), [&](PyObject *token) {
                ++read;
                PyObject *value = find(places_.ptr(), token);
                if (value) {
                    ++counts_[PyLong_AsSize_t(value)];
                    return;
                }
                const py::int_ place(counts_.size());
                if (PyDict_SetItem(places_.ptr(), token, place.ptr())) throw py::error_already_set();
                counts_.push_back(1);
            });
        }
        return read;
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
    m.doc() = "Lists of tokens into ids or counts; used through w2vfast.encoder.";
    m.def("encode", &encode, py::arg("sentences"), py::arg("index"));
    py::class_<Counter>(m, "Counter").def(py::init<>()).def("add", &Counter::add).def("counts", &Counter::counts);
}
