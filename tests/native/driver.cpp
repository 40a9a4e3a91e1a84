// Runs the native kernels on one case without Python, for processors that are only emulated here.
//
// stdin: 20 int64 (n, V, D, cbow, cbow_mean, shrink_windows, target_mask, window, negative, tile, shared_negatives,
// chunk_size, seed, epochs, static weights or not, chunks to train, first_rank, epoch, workers, poison),
// 3 doubles (cap, alpha, min_alpha), then the arrays. stdout: loss, pairs, trained as doubles, then both tables.

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
    const std::vector<int64_t> h = read<int64_t>(20);
    const std::vector<double> rates = read<double>(3);
    const size_t V = static_cast<size_t>(h[1]), D = static_cast<size_t>(h[2]);
    const std::vector<int32_t> tokens = read<int32_t>(static_cast<size_t>(h[0]));
    const std::vector<uint32_t> keep = read<uint32_t>(V), prob = read<uint32_t>(V);
    const std::vector<int32_t> alias = read<int32_t>(V);
    const std::vector<float> in_weight = read<float>(h[14] ? V : 0), out_weight = read<float>(h[14] ? V : 0);
    const std::vector<int64_t> chunks = read<int64_t>(static_cast<size_t>(h[15]));
    std::vector<float> w_in = read<float>(V * D), w_out = read<float>(V * D);
    std::vector<w2v::Noise> noise;
    for (size_t i = 0; i < V; ++i) noise.push_back({prob[i], alias[i]});

    w2v::Job job{};
    job.tokens = tokens.data();
    job.n = h[0];
    job.V = h[1];
    job.D = h[2];
    job.keep_threshold = keep.data();
    job.noise = noise.data();
    job.in_weight = h[14] ? in_weight.data() : nullptr;
    job.out_weight = h[14] ? out_weight.data() : nullptr;
    job.w_in = w_in.data();
    job.w_out = w_out.data();
    job.cbow = h[3];
    job.cbow_mean = h[4];
    job.shrink_windows = h[5];
    job.target_mask = h[6];
    job.window = static_cast<int>(h[7]);
    job.negative = static_cast<int>(h[8]);
    job.tile = static_cast<int>(h[9]);
    job.shared_negatives = static_cast<int>(h[10]);
    job.chunk_size = static_cast<int>(h[11]);
    job.seed = static_cast<uint64_t>(h[12]);
    job.epochs = static_cast<int>(h[13]);
    job.cap = rates[0];
    job.alpha = rates[1];
    job.min_alpha = rates[2];

    w2v::Trainer trainer(job, static_cast<int>(h[18]), h[19] != 0);
    const w2v::Result result = trainer.train(chunks.data(), h[15], h[16], static_cast<uint32_t>(h[17]));
    const double account[3] = {result.loss, static_cast<double>(result.pairs), static_cast<double>(result.trained)};
    write(account, 3);
    write(w_in.data(), w_in.size());
    write(w_out.data(), w_out.size());
    return 0;
}
