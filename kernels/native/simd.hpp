// Vectors of float in the target's own width, through GCC/Clang vector types: loads, exp, log, transposes, reductions.
//
// The width and the register blocks follow the target: a 64-byte type compiled for AVX2 is split in two and spills.
// Nothing here needs -ffast-math; under it the compiler would delete the rounding trick in exp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace w2v {

#if defined(__AVX512F__)
constexpr int LANES = 16;
#elif defined(__AVX__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif

// Architectural vector registers: what bounds a block of accumulators.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int REGISTERS = 32;
#else
constexpr int REGISTERS = 16;
#endif

constexpr int CACHE_LINE = 64;
constexpr int LINE_FLOATS = CACHE_LINE / 4;

typedef float Vec __attribute__((vector_size(LANES * 4)));
typedef int32_t IVec __attribute__((vector_size(LANES * 4)));
typedef float VecUnaligned __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef int32_t IVecUnaligned __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

#define W2V_INLINE inline __attribute__((always_inline))
#define W2V_INLINE_BODY __attribute__((always_inline))  // of a lambda

// Fetches a cache line into the second level for writing, so that no other core needs to be asked for it again.
// Processors before 2014 lack the instruction and take it for none, and the compiler leaves the intent away unless told.
#if defined(__x86_64__)
inline bool has_prefetchw() {
    unsigned eax, ebx, ecx = 0, edx;
    return __get_cpuid(0x80000001, &eax, &ebx, &ecx, &edx) && (ecx & (1u << 8));
}
inline const bool HAS_PREFETCHW = has_prefetchw();
W2V_INLINE void prefetch_to_write(const float *p) {
    if (HAS_PREFETCHW) {
        asm volatile("prefetchw %0" : : "m"(*p));
    } else {
        __builtin_prefetch(p, 0, 2);
    }
}
#else
W2V_INLINE void prefetch_to_write(const float *p) { __builtin_prefetch(p, 1, 2); }
#endif

template <int N>
using Int = std::integral_constant<int, N>;

W2V_INLINE Vec load(const float *p) { return *reinterpret_cast<const VecUnaligned *>(p); }
W2V_INLINE void store(float *p, Vec x) { *reinterpret_cast<VecUnaligned *>(p) = x; }
W2V_INLINE IVec load(const int32_t *p) { return *reinterpret_cast<const IVecUnaligned *>(p); }
W2V_INLINE void store(int32_t *p, IVec x) { *reinterpret_cast<IVecUnaligned *>(p) = x; }
W2V_INLINE Vec splat(float x) { return x - Vec{}; }
W2V_INLINE IVec splat(int32_t x) { return x - IVec{}; }
W2V_INLINE Vec as_float(IVec x) { return reinterpret_cast<Vec>(x); }
W2V_INLINE IVec as_int(Vec x) { return reinterpret_cast<IVec>(x); }
W2V_INLINE Vec max(Vec a, Vec b) { return b > a ? b : a; }  // a NaN in `a` stays: a run that diverged must show it

// Keeps a loaded vector in a register: the compiler would rather load it anew for each product that it is a factor of.
W2V_INLINE Vec held(Vec x) {
#if defined(__AVX512F__)
    asm("" : "+v"(x));
#elif defined(__x86_64__)
    asm("" : "+x"(x));
#elif defined(__aarch64__)
    asm("" : "+w"(x));
#endif
    return x;
}

W2V_INLINE float sum(Vec x) {
    float total = 0;
    for (int i = 0; i < LANES; ++i) total += x[i];
    return total;
}

// Lanes first .. LANES - 1 of the result are 0, those before keep their value.
W2V_INLINE Vec first_lanes(Vec x, int count) {
    IVec lane;
    for (int i = 0; i < LANES; ++i) lane[i] = i;
    return lane < splat(count) ? x : Vec{};
}

// The first `count` < LANES floats at `p`, and 0 in the other lanes; nothing beyond them is read or, below, written.
W2V_INLINE Vec load_first(const float *p, int count) {
#if defined(__AVX512F__)
    if (count == 4) return reinterpret_cast<Vec>(_mm512_zextps128_ps512(_mm_loadu_ps(p)));  // of 100: touches one line less
    return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1), p);
#elif defined(__AVX__)
    static constexpr int32_t MASKS[2 * LANES] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_maskload_ps(p, _mm256_loadu_si256(reinterpret_cast<const __m256i *>(MASKS + LANES - count)));
#else
    float lanes[LANES] = {};
    for (int i = 0; i < count; ++i) lanes[i] = p[i];
    return load(lanes);
#endif
}

// Vectors v, v + 1 ... of a row.
template <int VECTORS>
W2V_INLINE void load_vectors(const float *row, int v, Vec (&x)[VECTORS]) {
#pragma GCC unroll 8
    for (int j = 0; j < VECTORS; ++j) x[j] = load(row + (v + j) * LANES);
}

template <int VECTORS>
W2V_INLINE void store_vectors(float *row, int v, const Vec (&x)[VECTORS]) {
#pragma GCC unroll 8
    for (int j = 0; j < VECTORS; ++j) store(row + (v + j) * LANES, x[j]);
}

W2V_INLINE void store_first(float *p, Vec x, int count) {
#if defined(__AVX512F__)
    if (count == 4) return _mm_storeu_ps(p, _mm512_castps512_ps128(reinterpret_cast<__m512>(x)));
    _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << count) - 1), x);
#else
    int i = 0;
    for (; i + 4 <= count; i += 4) {
        const float four[4] = {x[i], x[i + 1], x[i + 2], x[i + 3]};
        std::memcpy(p + i, four, sizeof four);
    }
    for (; i < count; ++i) p[i] = x[i];
#endif
}

// exp(x) for x <= 0, to 2 units in the last place; results below e^-87 come out as e^-87, which no sum here can see.
W2V_INLINE Vec exp_negative(Vec x) {
    const Vec magic = splat(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer, kept in the low mantissa bits
    x = max(x, splat(-87.0f));
    const Vec shifted = x * 1.44269504f + magic;
    const Vec n = shifted - magic;
    Vec r = x - n * 0.693359375f;  // ln 2 in two parts, the first exact in few bits
    r = r - n * -2.12194440e-4f;
    Vec p = splat(1.9875691500e-4f);  // Cephes expf, minimax on +-ln(2)/2
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    return as_float(as_int(p) + (as_int(shifted) << 23));  // the magic number's own bits fall off at the top
}

// log(x) for normal x > 0, most of them 1 and above.
W2V_INLINE Vec log_from_one(Vec x) {
    IVec bits = as_int(x);
    // The mantissa is brought to sqrt(1/2) .. sqrt(2), so that the polynomial's argument is small on both sides.
    IVec exponent = (bits - 0x3f3504f3) >> 23;
    const Vec m = as_float(bits - (exponent << 23)) - 1.0f;
    const Vec z = m * m;
    Vec p = splat(7.0376836292e-2f);  // Cephes logf
    p = p * m - 1.1514610310e-1f;
    p = p * m + 1.1676998740e-1f;
    p = p * m - 1.2420140846e-1f;
    p = p * m + 1.4249322787e-1f;
    p = p * m - 1.6668057665e-1f;
    p = p * m + 2.0000714765e-1f;
    p = p * m - 2.4999993993e-1f;
    p = p * m + 3.3333331174e-1f;
    p = p * m * z - 0.5f * z + m;
    return p + __builtin_convertvector(exponent, Vec) * 0.69314718056f;
}

// sigmoid(s), and the parts of softplus(s) = max(s, 0) + log(1 + exp(-|s|)): `one_plus` lies in 1 .. 2, so that the
// logarithm of a product of up to 100 of them can stand for the sum of their logarithms.
struct Sigmoid {
    Vec value, one_plus;
};

W2V_INLINE Sigmoid sigmoid(Vec s) {
    const Vec z = exp_negative(as_float(as_int(s) | INT32_MIN));
    const Vec q = z + 1.0f;
    return {(s > Vec{} ? splat(1.0f) : z) / q, q};
}

constexpr int MOST_FACTORS = 64;  // factors of at most 2 in a float's range

namespace detail {

template <int... I>
W2V_INLINE Vec interleave_low(Vec a, Vec b, std::integer_sequence<int, I...>) {
    return __builtin_shufflevector(a, b, (I / 2 + (I % 2) * LANES)...);
}

template <int... I>
W2V_INLINE Vec interleave_high(Vec a, Vec b, std::integer_sequence<int, I...>) {
    return __builtin_shufflevector(a, b, (LANES / 2 + I / 2 + (I % 2) * LANES)...);
}

// Interleaves within groups of four lanes: the two from FIRST on of each.
template <int FIRST, int... I>
W2V_INLINE Vec unpack(Vec a, Vec b, std::integer_sequence<int, I...>) {
    return __builtin_shufflevector(a, b, (I / 4 * 4 + FIRST + I % 4 / 2 + (I % 2) * LANES)...);
}

using Lanes = std::make_integer_sequence<int, LANES>;

template <int COUNT, class Join>
W2V_INLINE void reduce_step(Vec *x, Join &&join) {
    if constexpr (COUNT > 1) {
#pragma GCC unroll 16
        for (int i = 0; i < COUNT / 2; ++i) {
            x[i] = join(
                interleave_low(x[i], x[i + COUNT / 2], Lanes{}), interleave_high(x[i], x[i + COUNT / 2], Lanes{})
            );
        }
        reduce_step<COUNT / 2>(x, join);
    }
}

template <int STAGES>
W2V_INLINE void transpose_step(Vec *x) {
    if constexpr (STAGES > 1) {
        Vec y[LANES];
#pragma GCC unroll 16
        for (int i = 0; i < LANES / 2; ++i) {
            y[2 * i] = interleave_low(x[i], x[i + LANES / 2], Lanes{});
            y[2 * i + 1] = interleave_high(x[i], x[i + LANES / 2], Lanes{});
        }
#pragma GCC unroll 16
        for (int i = 0; i < LANES; ++i) x[i] = y[i];
        transpose_step<STAGES / 2>(x);
    }
}

}  // namespace detail

// Lane i of the result is the sum of x[i]'s lanes; x is overwritten.
W2V_INLINE Vec sums(Vec *x) {
    detail::reduce_step<LANES>(x, [](Vec a, Vec b) { return a + b; });
    return x[0];
}

// Lane i of the result is the largest of x[i]'s lanes; x is overwritten.
W2V_INLINE Vec maxima(Vec *x) {
    detail::reduce_step<LANES>(x, [](Vec a, Vec b) { return max(a, b); });
    return x[0];
}

// Stores to out[i] the sum of x[i]'s lanes, for four vectors.
W2V_INLINE void store_four_sums(const Vec *x, float *out) {
    const auto join = [](Vec a, Vec b) {
        return detail::unpack<0>(a, b, detail::Lanes{}) + detail::unpack<2>(a, b, detail::Lanes{});
    };
    const Vec all = join(join(x[0], x[2]), join(x[1], x[3]));  // lane j belongs to x[j % 4]
#if defined(__AVX512F__)
    const auto half = __builtin_shufflevector(all, all, 0, 1, 2, 3, 4, 5, 6, 7) +
                      __builtin_shufflevector(all, all, 8, 9, 10, 11, 12, 13, 14, 15);
#else
    const Vec half = all;
#endif
#if defined(__AVX__)
    const auto quarter = __builtin_shufflevector(half, half, 0, 1, 2, 3) + __builtin_shufflevector(half, half, 4, 5, 6, 7);
#else
    const Vec quarter = half;
#endif
    std::memcpy(out, &quarter, sizeof quarter);
}

// Transposes LANES vectors in place.
W2V_INLINE void transpose(Vec *x) { detail::transpose_step<LANES>(x); }

constexpr int SUM_VECTORS = REGISTERS >= 32 ? 8 : 7;  // accumulators of a sum of rows

// `vectors` cut into nearly equal blocks of at most MOST: nearly equal, so that no block is left with too few
// accumulators to hide the latency of an FMA. Cut once, since the divisions would cost as much as a short sum.
template <int MOST>
struct Blocks {
    int count, size, larger;  // the first `larger` blocks have size + 1 vectors

    explicit Blocks(int vectors)
        : count((vectors + MOST - 1) / MOST), size(count ? vectors / count : 0), larger(vectors - size * count) {}

    // Calls body(Int<size>, offset) for each block.
    template <class Body>
    W2V_INLINE void each(Body &&body) const {
        for (int block = 0, offset = 0; block < count; ++block) {
            const int vectors = size + (block < larger);
            switch (vectors) {
                case 1: body(Int<1>{}, offset); break;
                case 2: if constexpr (MOST >= 2) body(Int<2>{}, offset); break;
                case 3: if constexpr (MOST >= 3) body(Int<3>{}, offset); break;
                case 4: if constexpr (MOST >= 4) body(Int<4>{}, offset); break;
                case 5: if constexpr (MOST >= 5) body(Int<5>{}, offset); break;
                case 6: if constexpr (MOST >= 6) body(Int<6>{}, offset); break;
                case 7: if constexpr (MOST >= 7) body(Int<7>{}, offset); break;
                case 8: if constexpr (MOST >= 8) body(Int<8>{}, offset); break;
                default: break;
            }
            offset += vectors;
        }
    }
};

}  // namespace w2v
