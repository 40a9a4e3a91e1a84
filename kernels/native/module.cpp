// The native backend as a Python module: one source, built for several instruction sets as W2V_MODULE.
//
// The caller (kernels/native_step.py) has checked shapes, dtypes, ids and chunks, and keeps the arrays alive.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include "train.hpp"

namespace py = pybind11;

namespace {

template <class T>
using Array = py::array_t<T, py::array::c_style>;

class Step {
  public:
    Step(const py::dict &fields, Array<float> w_in, Array<float> w_out, int workers, bool poison)
        : keep_(fields), w_in_(std::move(w_in)), w_out_(std::move(w_out)) {
        job_.tokens = pointer<int32_t>(fields["tokens"]);
        job_.n = fields["tokens"].cast<py::array>().shape(0);
        job_.keep_threshold = pointer<uint32_t>(fields["keep_threshold"]);
        job_.in_weight = pointer<float>(fields["in_weight"]);
        job_.out_weight = pointer<float>(fields["out_weight"]);
        job_.w_in = w_in_.mutable_data();
        job_.w_out = w_out_.mutable_data();
        job_.V = w_in_.shape(0);
        const uint32_t *prob = pointer<uint32_t>(fields["noise_prob"]);
        const int32_t *alias = pointer<int32_t>(fields["noise_alias"]);
        noise_.resize(job_.V);
        for (int64_t i = 0; i < job_.V; ++i) noise_[i] = {prob[i], alias[i]};
        job_.noise = noise_.data();
        job_.D = w_in_.shape(1);
        job_.cbow = fields["mode"].cast<std::string>() == "cbow";
        job_.cbow_mean = fields["cbow_mean"].cast<bool>();
        job_.shrink_windows = fields["shrink_windows"].cast<bool>();
        job_.target_mask = fields["target_mask"].cast<bool>();
        job_.window = fields["window"].cast<int>();
        job_.negative = fields["negative"].cast<int>();
        job_.tile = fields["tile"].cast<int>();
        job_.shared_negatives = fields["shared_negatives"].cast<int>();
        job_.chunk_size = fields["chunk_size"].cast<int>();
        job_.seed = fields["seed"].cast<uint64_t>();
        job_.epochs = fields["epochs"].cast<int>();
        job_.cap = fields["cap"].cast<double>();
        job_.alpha = fields["alpha"].cast<double>();
        job_.min_alpha = fields["min_alpha"].cast<double>();
        trainer_ = std::make_unique<w2v::Trainer>(job_, workers, poison);
    }

    Step(const Step &) = delete;
    Step &operator=(const Step &) = delete;

    py::tuple train(const Array<int64_t> &chunks, int64_t first_rank, uint32_t epoch) {
        w2v::Result result;
        {
            const int64_t *data = chunks.data();
            const int64_t count = chunks.shape(0);
            py::gil_scoped_release release;
            result = trainer_->train(data, count, first_rank, epoch);
        }
        return py::make_tuple(result.loss, result.pairs, result.trained);
    }

    py::tuple plan(int64_t chunk, uint32_t epoch) const {
        w2v::ChunkPlan plan;
        plan.compute(job_, chunk, epoch);
        const int N = job_.shared_negatives, tiles = (plan.kept + job_.tile - 1) / job_.tile;
        Array<int64_t> positions(plan.kept);
        Array<int32_t> radius(plan.kept), negatives({tiles, N});
        for (int i = 0; i < plan.kept; ++i) {
            positions.mutable_data()[i] = chunk * job_.chunk_size + plan.offset[i];
            radius.mutable_data()[i] = plan.radius[i];
        }
        w2v::NegativeDraws draws;
        draws.resize(N);
        for (int t = 0; t < tiles; ++t) {
            draws.draw(job_, chunk, t, epoch);
            draws.resolve(job_, negatives.mutable_data() + static_cast<int64_t>(t) * N);
        }
        return py::make_tuple(positions, radius, negatives);
    }

  private:
    template <class T>
    static T *pointer(const py::object &object) {
        // Arrays may be read-only (a memory-mapped corpus): nothing is written through these pointers.
        return object.is_none() ? nullptr : const_cast<T *>(static_cast<const T *>(object.cast<py::array>().data()));
    }

    py::dict keep_;
    Array<float> w_in_, w_out_;
    std::vector<w2v::Noise> noise_;
    w2v::Job job_{};
    std::unique_ptr<w2v::Trainer> trainer_;
};

// sigmoid and log(1 + exp(-|s|)) of an array, for tests of their accuracy.
py::tuple sigmoid(const Array<float> &scores) {
    const int64_t n = scores.size();
    Array<float> value(n), log_part(n);
    for (int64_t i = 0; i < n; i += w2v::LANES) {
        const int64_t count = std::min<int64_t>(w2v::LANES, n - i);
        float in[w2v::LANES] = {}, out[2][w2v::LANES];
        std::copy(scores.data() + i, scores.data() + i + count, in);
        const w2v::Sigmoid sig = w2v::sigmoid(w2v::load(in));
        w2v::store(out[0], sig.value);
        w2v::store(out[1], w2v::log_from_one(sig.one_plus));
        std::copy(out[0], out[0] + count, value.mutable_data() + i);
        std::copy(out[1], out[1] + count, log_part.mutable_data() + i);
    }
    return py::make_tuple(value, log_part);
}

// The widest of the builds that this processor, and its operating system, can run.
const char *best_build() {
#if defined(__x86_64__)
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                      __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
    const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                        __builtin_cpu_supports("avx512vl");
    return avx2 && avx512 ? "avx512" : avx2 ? "avx2" : "base";
#else
    return "base";
#endif
}

}  // namespace

PYBIND11_MODULE(W2V_MODULE, m) {
    m.doc() = "Native word2vec kernels for one instruction set; used through w2vfast.kernels.native_step.";
    m.attr("lanes") = w2v::LANES;
    m.def("best_build", &best_build);
    m.def("sigmoid", &sigmoid);
    py::class_<Step>(m, "Step")
        .def(
            py::init<const py::dict &, Array<float>, Array<float>, int, bool>(), py::arg("fields"),
            py::arg("w_in").noconvert(), py::arg("w_out").noconvert(), py::arg("workers"), py::arg("poison")
        )
        .def("train", &Step::train, py::arg("chunks").noconvert(), py::arg("first_rank"), py::arg("epoch"))
        .def("plan", &Step::plan, py::arg("chunk"), py::arg("epoch"));
}
