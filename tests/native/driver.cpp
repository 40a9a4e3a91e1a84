// Runs the native kernels on one case without Python, for processors that are only emulated here.
//
// stdin: 19 int64 (n, V, D, place in OBJECTIVES, cbow, cbow_mean, shrink_windows, mask, window, tile, chunk_size, seed,
// static weights or not, chunks to train, total, draw_epoch, shared_words, workers, poison), 4 doubles (negative, cap,
// start_rate, end_rate), then the arrays. stdout: loss, pairs, trained as doubles, then both tables.

#include <cstdio>

#include "../../kernels/native/train.hpp"

namespace {

template <class T>
std::vector<T> read(size_t count) {
    std::vector<T> values(count);
    if (std::fread(values.data(), sizeof(T), count, stdin) != count) std::exit(3);
    return values;
}

template <class T>
void write(const T *values, size_t count) {
    if (std::fwrite(values, sizeof(T), count, stdout) != count) std::exit(4);
}

}  // namespace

int main() {
    const std::vector<int64_t> h = read<int64_t>(19);
    const std::vector<double> d = read<double>(4);
    const size_t V = static_cast<size_t>(h[1]), D = static_cast<size_t>(h[2]), count = static_cast<size_t>(h[13]);
    const std::vector<int32_t> tokens = read<int32_t>(static_cast<size_t>(h[0]));
    const std::vector<uint32_t> keep = read<uint32_t>(V), prob = read<uint32_t>(V);
    const std::vector<int32_t> alias = read<int32_t>(V);
    const std::vector<float> of_word = read<float>(V);
    const std::vector<float> in_weight = read<float>(h[12] ? V : 0), out_weight = read<float>(h[12] ? V : 0);
    const std::vector<int64_t> chunks = read<int64_t>(count), done = read<int64_t>(count);
    std::vector<float> w_in = read<float>(V * D), w_out = read<float>(V * D);

    w2v::Job job{};
    job.tokens = tokens.data();
    job.n = h[0];
    job.V = h[1];
    job.D = h[2];
    job.keep_threshold = keep.data();
    job.in_weight = h[12] ? in_weight.data() : nullptr;
    job.out_weight = h[12] ? out_weight.data() : nullptr;
    job.w_in = w_in.data();
    job.w_out = w_out.data();
    job.cbow = h[4];
    job.cbow_mean = h[5];
    job.shrink_windows = h[6];
    job.window = static_cast<int>(h[8]);
    job.tile = static_cast<int>(h[9]);
    job.chunk_size = static_cast<int>(h[10]);
    job.seed = static_cast<uint64_t>(h[11]);
    job.cap = d[1];

    w2v::Fields objective;
    objective.add("noise_prob", prob.data());
    objective.add("noise_alias", alias.data());
    for (const char *name : {"bias", "log_q"}) objective.add(name, of_word.data());
    objective.add("negative", d[0]);
    objective.add("mask", static_cast<double>(h[7]));

    const w2v::Visit visit{chunks.data(), done.data(), h[13], h[14], d[2], d[3],
                           static_cast<uint32_t>(h[15]), static_cast<int>(h[16])};
    auto workers = w2v::workers_for(w2v::OBJECTIVES[h[3]].name, objective, job.V);
    w2v::Trainer trainer(job, std::move(workers), static_cast<int>(h[17]), h[18] != 0);
    const w2v::Result result = trainer.train(visit);
    const double account[3] = {result.loss, static_cast<double>(result.pairs), static_cast<double>(result.trained)};
    write(account, 3);
    write(w_in.data(), w_in.size());
    write(w_out.data(), w_out.size());
    return 0;
}
