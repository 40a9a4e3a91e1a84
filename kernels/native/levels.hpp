// The few values that a quantised row of W_in may hold (kernels/levels.py).
#pragma once

#include "simd.hpp"

namespace w2v {

struct Levels {
    float step = 0, offset = 0, low = 0, high = 0;  // a step of 0: rows are read as they are

    // Replaces D floats by the levels nearest to them; what lies beyond in the last vector must be, and stays, 0.
    void quantise(float *row, int64_t D) const {
        const Vec magic = splat(12582912.0f);  // 1.5 * 2^23: adding it rounds to a whole number
        const float per_step = 1.0f / step;
        for (int64_t d = 0; d < D; d += LANES) {
            Vec x = load(row + d) * per_step - offset;
            x = max(x, splat(low));
            x = x > splat(high) ? splat(high) : x;  // a NaN stays
            x = ((x + magic) - magic + offset) * step;
            store(row + d, d + LANES <= D ? x : first_lanes(x, static_cast<int>(D - d)));
        }
    }
};

}  // namespace w2v
