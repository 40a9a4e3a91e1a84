// Softmax over rows of scores: the logarithm of its normaliser, and gradients -lr * n * p in place.
#pragma once

#include <cmath>
#include <limits>

#include "simd.hpp"

namespace w2v {

// Makes the scores from `count` to the end of their vector too low for a softmax to see.
W2V_INLINE void hide_tail(float *score, int count) {
    for (int k = count; k % LANES != 0; ++k) score[k] = std::numeric_limits<float>::lowest();
}

W2V_INLINE float log_add_exp(float a, float b) {
    const float top = a > b ? a : b, low = a > b ? b : a;
    return top + std::log1p(std::exp(low - top));
}

// log sum exp of whole vectors of scores. A NaN among them comes out.
W2V_INLINE float log_sum_exp(const float *score, int vectors) {
    Vec top = load(score);
    for (int v = 1; v < vectors; ++v) top = max(top, load(score + v * LANES));
    float largest = top[0];
    for (int i = 1; i < LANES; ++i) largest = top[i] > largest ? top[i] : largest;
    Vec total{};
    for (int v = 0; v < vectors; ++v) total += exp_negative(load(score + v * LANES) - largest);
    return largest + std::log(sum(total));
}

// Scores become -lr * n * p, with log_z their normaliser's logarithm; n * p is added to `sums`.
W2V_INLINE void softmax_gradients(float *score, int vectors, float log_z, float n, float lr, float *sums) {
    for (int v = 0; v < vectors; ++v) {
        const Vec mass = exp_negative(load(score + v * LANES) - log_z) * n;
        store(score + v * LANES, mass * -lr);
        store(sums + v * LANES, load(sums + v * LANES) + mass);
    }
}

}  // namespace w2v
