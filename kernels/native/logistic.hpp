// From scores to gradients lr * weight * (label - sigmoid(score)) in place, with the loss: positives and negatives.
//
// The loss sums weight * softplus; equal weights share a logarithm, of the product of their 1 + exp(-|s|).
#pragma once

#include "simd.hpp"

namespace w2v {

// The loss of pairs of weight 1, and their gradients lr * (label - sigmoid).
class SignedLoss {
  public:
    // The gradients of a vector of pairs, of which the first `count` count; `towards` is 1 for label 1, -1 for 0.
    W2V_INLINE Vec gradient(Vec score, Vec towards, int count, float lr) {
        const Vec s = score * towards;
        const Sigmoid opposite = sigmoid(-s);
        Vec above = max(-s, Vec{});
        Vec factor = opposite.one_plus;
        if (count < LANES) {
            above = first_lanes(above, count);
            factor = first_lanes(factor - 1.0f, count) + 1.0f;
        }
        linear_ += above;
        product_ *= factor;
        if (++factors_ == MOST_FACTORS) {
            logs_ += log_from_one(product_);
            product_ = splat(1.0f);
            factors_ = 0;
        }
        return opposite.value * towards * lr;
    }

    float total() const { return sum(linear_ + (logs_ + log_from_one(product_))); }

  private:
    Vec linear_{}, product_ = splat(1.0f), logs_{};
    int factors_ = 0;
};

// The same where all have label 1.
inline float positive_gradients(float *score, int count, float lr) {
    SignedLoss loss;
    for (int p = 0; p < count; p += LANES) store(score + p, loss.gradient(load(score + p), splat(1.0f), count - p, lr));
    return loss.total();
}

// `score` [rows, ld] of columns that some of a row's pairs have with label 1, `ones` [rows, columns] of them, others
// with 0, `all` in sum: becomes lr * (ones - all * sigmoid). Columns are whole vectors. Returns the loss.
inline float counted_gradients(
    float *score, int ld, int rows, int columns, const float *ones, const float *all, float lr
) {
    Vec loss{};
    for (int r = 0; r < rows; ++r, score += ld) {
        for (int k = 0; k < columns; k += LANES, ones += LANES, all += LANES) {
            const Vec s = load(score + k), a = load(ones), n = load(all);
            const Sigmoid sig = sigmoid(s);
            store(score + k, (a - n * sig.value) * lr);
            loss += n * (max(s, Vec{}) + log_from_one(sig.one_plus)) - a * s;
        }
    }
    return sum(loss);
}

// Negatives of one weight a row: score[r][k] becomes -lr * weight * sigmoid, weight = row_weight[r] * share.
inline float uniform_negative_gradients(
    float *score, int ld, int rows, int vectors, const float *row_weight, float share, float lr
) {
    Vec loss{};
    for (int r = 0; r < rows; ++r) {
        const float weight = row_weight[r] * share, step = -lr * weight;
        float *s_row = score + static_cast<size_t>(r) * ld;
        Vec softplus{};
        for (int begin = 0; begin < vectors; begin += MOST_FACTORS) {
            Vec product = splat(1.0f);
            const int end = begin + MOST_FACTORS < vectors ? begin + MOST_FACTORS : vectors;
            for (int v = begin; v < end; ++v) {
                const Vec s = load(s_row + v * LANES);
                const Sigmoid sig = sigmoid(s);
                store(s_row + v * LANES, sig.value * step);
                softplus += max(s, Vec{});
                product *= sig.one_plus;
            }
            softplus += log_from_one(product);
        }
        loss += softplus * weight;
    }
    return sum(loss);
}

// Negatives in general: `pair_weight` [rows, ld] times column_weight[k] is the weight; it is left multiplied out.
inline float negative_gradients(
    float *score, float *pair_weight, int ld, int rows, int vectors, const float *column_weight, float lr
) {
    Vec loss{};
    for (int r = 0; r < rows; ++r) {
        for (int v = 0; v < vectors; ++v) {
            const size_t at = static_cast<size_t>(r) * ld + v * LANES;
            const Vec s = load(score + at);
            const Vec weight = load(pair_weight + at) * load(column_weight + v * LANES);
            const Sigmoid sig = sigmoid(s);
            store(score + at, sig.value * (weight * -lr));
            store(pair_weight + at, weight);
            loss += weight * (max(s, Vec{}) + log_from_one(sig.one_plus));
        }
    }
    return sum(loss);
}

}  // namespace w2v
