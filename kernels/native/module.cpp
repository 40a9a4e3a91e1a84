// The native backend as a Python module: one source, built for several instruction sets as W2V_MODULE.
//
// The caller (kernels/native/step.py) has checked shapes, dtypes, ids and chunks, and keeps the arrays alive.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <tuple>

#include "train.hpp"

namespace py = pybind11;

namespace {

template <class T>
using Array = py::array_t<T, py::array::c_style>;

class Step {
  public:
    Step(
        const py::dict &fields, const py::dict &objective, Array<float> w_in, Array<float> w_out, bool mapped,
        int workers, bool poison
    )
        : keep_(fields), keep_objective_(objective), w_in_(std::move(w_in)), w_out_(std::move(w_out)) {
        set_tokens(fields["tokens"], mapped);
        job_.keep_threshold = pointer<uint32_t>(fields["keep_threshold"]);
        job_.in_weight = pointer<float>(fields["in_weight"]);
        job_.out_weight = pointer<float>(fields["out_weight"]);
        job_.in_scale = pointer<float>(fields["in_scale"]);
        job_.in_row = pointer<int32_t>(fields["in_row"]);
        job_.w_in = w_in_.mutable_data();
        job_.w_out = w_out_.mutable_data();
        job_.V = fields["keep_threshold"].cast<py::array>().shape(0);
        job_.D = w_in_.shape(1);
        job_.cbow = fields["mode"].cast<std::string>() == "cbow";
        job_.cbow_mean = fields["cbow_mean"].cast<bool>();
        job_.shrink_windows = fields["shrink_windows"].cast<bool>();
        job_.window = fields["window"].cast<int>();
        job_.tile = fields["tile"].cast<int>();
        job_.chunk_size = fields["chunk_size"].cast<int>();
        job_.seed = fields["seed"].cast<uint64_t>();
        job_.cap = fields["cap"].cast<double>();
        if (!fields["levels"].is_none()) {
            const auto [step, offset, low, high] = fields["levels"].cast<std::tuple<float, float, float, float>>();
            job_.levels = {step, offset, low, high};
        }
        if (!fields["teacher"].is_none()) set_teacher(fields["teacher"]);
        job_.batch_tiles = fields["batch_tiles"].cast<int>();
        job_.group_chunks = fields["group_chunks"].cast<int>();
        job_.contended = workers > 1 && job_.batch_tiles == 0;
        for (const auto &[name, value] : objective) {
            if (py::isinstance<py::array>(value)) {
                objective_.add(name.cast<std::string>(), value.cast<py::array>().data());
            } else if (!py::isinstance<py::str>(value)) {
                objective_.add(name.cast<std::string>(), value.cast<double>());
            }
        }
        auto make = w2v::workers_for(objective["name"].cast<std::string>(), objective_, job_.V);
        trainer_ = std::make_unique<w2v::Trainer>(job_, std::move(make), workers, poison);
    }

    Step(const Step &) = delete;
    Step &operator=(const Step &) = delete;

    py::tuple train(
        const Array<int64_t> &chunks, const Array<int64_t> &done, int64_t total, double start_rate, double end_rate,
        uint32_t draw_epoch, int shared_words
    ) {
        const w2v::Visit visit{chunks.data(), done.data(), chunks.shape(0), total,
                               start_rate,    end_rate,    draw_epoch,      shared_words};
        w2v::Result result;
        {
            py::gil_scoped_release release;
            result = trainer_->train(visit);
        }
        return py::make_tuple(result.loss, result.pairs, result.trained);
    }

    void replace_tokens(const Array<int32_t> &tokens, bool mapped) {
        set_tokens(tokens, mapped);
        keep_["tokens"] = tokens;
        trainer_->restart();
    }

    py::tuple plan(int64_t chunk, uint32_t draw_epoch, int shared_words) const {
        w2v::ChunkPlan plan;
        plan.compute(job_, chunk, draw_epoch);
        const int tiles = (plan.kept + job_.tile - 1) / job_.tile;
        Array<int64_t> positions(plan.kept);
        Array<int32_t> radius(plan.kept), drawn({tiles, shared_words});
        for (int i = 0; i < plan.kept; ++i) {
            positions.mutable_data()[i] = chunk * job_.chunk_size + plan.offset[i];
            radius.mutable_data()[i] = plan.radius[i];
        }
        if (shared_words > 0) {
            const w2v::Noise noise(objective_, job_.V);
            w2v::Draws draws;
            draws.resize(shared_words);
            for (int t = 0; t < tiles; ++t) {
                draws.draw(noise, job_.seed, chunk, t, draw_epoch);
                draws.resolve(noise, drawn.mutable_data() + static_cast<int64_t>(t) * shared_words);
            }
        }
        return py::make_tuple(positions, radius, drawn);
    }

  private:
    void set_teacher(const py::dict &teacher) {
        for (const py::handle &model : teacher["models"]) {
            const auto [w_in, w_out] = model.cast<std::tuple<Array<float>, Array<float>>>();
            job_.teacher.models.push_back({w_in.data(), w_out.data(), w_in.shape(1)});
        }
        job_.teacher.known = pointer<uint8_t>(teacher["known"]);
        job_.teacher.weight = teacher["weight"].cast<float>();
        job_.teacher.temperature = teacher["temperature"].cast<float>();
    }

    void set_tokens(const py::array &tokens, bool mapped) {
        job_.tokens = pointer<int32_t>(tokens);
        job_.mapped = mapped;
        job_.n = tokens.shape(0);
    }

    template <class T>
    static T *pointer(const py::object &object) {
        // Arrays may be read-only (a memory-mapped corpus): nothing is written through these pointers.
        return object.is_none() ? nullptr : const_cast<T *>(static_cast<const T *>(object.cast<py::array>().data()));
    }

    py::dict keep_, keep_objective_;
    Array<float> w_in_, w_out_;
    w2v::Job job_{};
    w2v::Fields objective_;
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

// Whether it multiplies bfloat16 too.
bool has_bfloat16() {
#if defined(__x86_64__)
    return std::strcmp(best_build(), "avx512") == 0 && __builtin_cpu_supports("avx512bf16");
#else
    return false;
#endif
}

}  // namespace

PYBIND11_MODULE(W2V_MODULE, m) {
    m.doc() = "Native word2vec kernels for one instruction set; used through w2vfast.kernels.native.step.";
    m.attr("lanes") = w2v::LANES;
    m.attr("compiler") = __VERSION__;
    m.def("best_build", &best_build);
    m.def("has_bfloat16", &has_bfloat16);
    m.def("sigmoid", &sigmoid);
    py::list objectives;
    for (const w2v::ObjectiveEntry &entry : w2v::OBJECTIVES) objectives.append(entry.name);
    m.attr("objectives") = py::tuple(objectives);
    py::class_<Step>(m, "Step")
        .def(
            py::init<const py::dict &, const py::dict &, Array<float>, Array<float>, bool, int, bool>(),
            py::arg("fields"), py::arg("objective"), py::arg("w_in").noconvert(), py::arg("w_out").noconvert(),
            py::arg("mapped"), py::arg("workers"), py::arg("poison")
        )
        .def(
            "train", &Step::train, py::arg("chunks").noconvert(), py::arg("done").noconvert(), py::arg("total"),
            py::arg("start_rate"), py::arg("end_rate"), py::arg("draw_epoch"), py::arg("shared_words")
        )
        .def("replace_tokens", &Step::replace_tokens, py::arg("tokens").noconvert(), py::arg("mapped"))
        .def("plan", &Step::plan, py::arg("chunk"), py::arg("draw_epoch"), py::arg("shared_words"));
}
