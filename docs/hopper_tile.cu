// A design, not a backend: skip-gram's tile with negative sampling for Hopper (9.0), in CUDA C++. Nothing builds it
// but tests/test_triton_aot.py, where there is an nvcc, and no GPU has run it. docs/gpu-kernels.md has what it takes
// and what is expected of it. Compiled with CUDA 13.0:
//
//     nvcc -arch=sm_90a -O3 -std=c++17 -Xptxas -v -cubin -o hopper_tile.cubin docs/hopper_tile.cu
//
// The mathematics, the plan and the row cap are those of kernels/triton/kernel.py. What differs is how rows move:
// - Each row comes once, by one bulk copy into shared memory, serves both passes there, is replaced by its step there,
//   and goes by one bulk reduction (L2 adds float32 itself). No row passes through registers.
// - A block has one producer warp, one writer warp and GROUPS groups of four warps. The producer notes a tile and asks
//   for its rows as soon as one of STAGES is free; a group computes a tile; the writer gives its steps to L2.
// - S stays in registers and becomes G there; only G goes through shared memory. Exact counts and scales are computed
//   while the rows are on their way.
// - In pass 2 a warp owns columns of D, of X and V alike, and so overwrites them without asking the other warps.
// Products are mma.sync of tf32: wgmma needs operands in swizzled layouts, which copies row by row cannot make.
// Chunks are planned by a launch before (plan_chunk of kernels/triton/plan.py), into notes of five arrays a chunk.
// D is a multiple of 4: bulk copies move whole multiples of 16 bytes.

#include <cstdint>

constexpr int CHUNK = 4096;     // positions
constexpr int MEMBERS = 128;    // threads of a group
constexpr uint32_t SHARED = 1;  // the purpose of shared words' draws (kernels/philox.py)

struct Arguments {
  float *w_in, *w_out;        // [V, D]
  const int *notes;           // [chunks, 5, CHUNK]: words, places, offsets, first, stop
  const int *kept;            // [chunks] tokens that subsampling kept
  const int *chunk;           // [chunks] numbers of the chunks
  const long long *done;      // [chunks] tokens visited before
  const uint32_t *prob;       // [V] of the alias table
  const int *alias;           // [V]
  const float *in_weight, *out_weight;  // [V] static weights
  const double *rates;        // start_rate, start_rate - end_rate, 1 / total
  int *next;                  // the next chunk to be taken
  double *loss;
  unsigned long long *pairs;
  int chunks;
  uint32_t V, seed_low, seed_high, draw_epoch;
  float negatives, weight_per_pair, cap;  // K, 1 + K, C0
};

template <int D_, int T_, int N_, int W_, int GROUPS_, int STAGES_>
struct Shape {
  static constexpr int D = D_, T = T_, N = N_, W = W_, GROUPS = GROUPS_, STAGES = STAGES_;
  static constexpr int TARGETS = T + 2 * W;
  static constexpr int C = (TARGETS + N + 15) / 16 * 16;  // columns with what pads them
  static constexpr int ROWS = C + T;                      // entries: columns, rows of W_out, then rows of W_in
  static constexpr int PADDED = (D + 15) / 16 * 16;
  static constexpr int STRIDE = PADDED + 4;  // an odd number of 16 bytes: eight rows of a fragment, eight banks
  static constexpr int OF_G = C + 4;
  static constexpr int OVER_T = T / 16, OVER_C = 4 / OVER_T;  // a group's warps over S
  static constexpr int BLOCKS = C / 8 / OVER_C;               // of eight columns, a warp's of S
  static constexpr int THREADS = 64 + GROUPS * MEMBERS;
  static_assert(D % 4 == 0 && T <= 32 && ROWS <= MEMBERS && C / 8 % OVER_C == 0);
};

template <class S>
struct Stage {
  alignas(16) float rows[S::ROWS][S::STRIDE];
  alignas(16) int ids[S::ROWS];  // -1: no word
  alignas(16) float scales[S::ROWS];
  int left[S::T], right[S::T];
  float lr, drawn_weight;  // of a drawn word's column: K / N for each pair
  int end;                 // no tile: there are no more
};

template <class S>
struct Shared {
  Stage<S> stage[S::STAGES];
  alignas(16) float g[S::GROUPS][S::T][S::OF_G];
  alignas(16) float weights[S::GROUPS][S::ROWS];
  uint64_t noted[S::STAGES], full[S::STAGES], done[S::STAGES], empty[S::STAGES];
};

// ---- barriers and bulk copies (PTX ISA, mbarrier, cp.async.bulk, cp.reduce.async.bulk)

__device__ uint32_t address(const void *pointer) { return static_cast<uint32_t>(__cvta_generic_to_shared(pointer)); }

__device__ void prepare(uint64_t *barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(address(barrier)), "r"(arrivals));
}

__device__ void arrive(uint64_t *barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(address(barrier)) : "memory");
}

__device__ void arrive_expecting(uint64_t *barrier, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(address(barrier)), "r"(bytes) : "memory");
}

__device__ void wait(uint64_t *barrier, int parity) {
  asm volatile(
      "{\n.reg .pred p;\nagain:\nmbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n@!p bra again;\n}" ::"r"(
          address(barrier)),
      "r"(parity)
      : "memory");
}

__device__ void copy_in(float *to, const float *from, int bytes, uint64_t *barrier) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
                   address(to)),
               "l"(from), "r"(bytes), "r"(address(barrier))
               : "memory");
}

__device__ void add_out(float *to, const float *from, int bytes) {
  asm volatile("cp.reduce.async.bulk.global.shared::cta.bulk_group.add.f32 [%0], [%1], %2;" ::"l"(to),
               "r"(address(from)), "r"(bytes)
               : "memory");
}

__device__ void wait_for_reads() {  // of shared memory, by what this thread has asked to be added
  asm volatile("cp.async.bulk.commit_group;\ncp.async.bulk.wait_group.read 0;" ::: "memory");
}

__device__ void group_barrier(int group) { asm volatile("bar.sync %0, 128;" ::"r"(group + 1) : "memory"); }

// ---- products of 16 x 8 x 8; `lane` / 4 and `lane` % 4 place a fragment's elements

__device__ void four_blocks(uint32_t (&out)[4], const float *row) {  // 8 rows of 16 bytes each; lanes give the rows
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(address(row))
               : "memory");
}

__device__ void multiply(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ uint32_t bits(float value) { return __float_as_uint(value); }

// ---- the producer

__device__ int draw(const Arguments &of, int j, uint32_t tile, uint32_t chunk) {
  uint32_t x0 = tile, x1 = chunk, x2 = of.draw_epoch, x3 = static_cast<uint32_t>(j >> 1) << 8 | SHARED;
  uint32_t k0 = of.seed_low, k1 = of.seed_high;
#pragma unroll
  for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {  // Philox4x32-10
    const uint32_t h0 = __umulhi(0xD2511F53u, x0), l0 = 0xD2511F53u * x0;
    const uint32_t h1 = __umulhi(0xCD9E8D57u, x2), l1 = 0xCD9E8D57u * x2;
    x0 = h1 ^ x1 ^ k0, x1 = l1, x2 = h0 ^ x3 ^ k1, x3 = l0;
  }
  const uint32_t column = __umulhi(j & 1 ? x2 : x0, of.V);
  return (j & 1 ? x3 : x1) < of.prob[column] ? static_cast<int>(column) : of.alias[column];
}

template <class S>
__device__ void produce(const Arguments &of, Shared<S> &shared, int lane) {
  int number = 0;
  unsigned long long pairs = 0;
  for (;;) {
    int place = lane == 0 ? atomicAdd(of.next, 1) : 0;
    place = __shfl_sync(~0u, place, 0);
    if (place >= of.chunks) break;
    const int *words = of.notes + static_cast<long long>(place) * 5 * CHUNK, kept = of.kept[place];
    for (int tile = 0; tile * S::T < kept; ++tile, ++number) {
      const int at = number % S::STAGES, first = tile * S::T;
      Stage<S> &stage = shared.stage[at];
      wait(&shared.empty[at], number / S::STAGES % 2 ^ 1);
      int left = 0, right = 0;
      if (lane < S::T && first + lane < kept) {
        const int token = first + lane, note = words[CHUNK + token], sentence = note & 0xFFFF, radius = note >> 16;
        left = min(radius, token - words[3 * CHUNK + sentence]);
        right = min(radius, words[4 * CHUNK + sentence] - 1 - token);
      }
      if (lane < S::T) stage.left[lane] = left, stage.right[lane] = right;
      const int of_tile = __reduce_add_sync(~0u, left + right);
      int word[(S::ROWS + 31) / 32], rows = 0;
#pragma unroll
      for (int i = 0; i < (S::ROWS + 31) / 32; ++i) {
        const int entry = i * 32 + lane, token = first + (entry < S::C ? entry - S::W : entry - S::C);
        word[i] = -1;
        if (entry < S::TARGETS || (entry >= S::C && entry < S::ROWS)) {
          if (token >= 0 && token < kept) word[i] = words[token];
        } else if (entry < S::TARGETS + S::N) {
          word[i] = draw(of, entry - S::TARGETS, tile, of.chunk[place]);
        }
        if (entry < S::ROWS) stage.ids[entry] = word[i];
        rows += __popc(__ballot_sync(~0u, word[i] >= 0));
      }
      if (lane == 0) {
        const double share = min(1.0, (of.done[place] + words[2 * CHUNK + first]) * of.rates[2]);
        stage.lr = static_cast<float>(of.rates[0] - of.rates[1] * share);
        stage.drawn_weight = of_tile * of.negatives / S::N;
        stage.end = 0;
        pairs += of_tile;
      }
      __syncwarp();
      if (lane == 0) {
        arrive(&shared.noted[at]);
        arrive_expecting(&shared.full[at], rows * S::D * 4);
      }
      __syncwarp();
#pragma unroll
      for (int i = 0; i < (S::ROWS + 31) / 32; ++i) {
        const int entry = i * 32 + lane;
        const float *table = entry < S::C ? of.w_out : of.w_in;
        if (word[i] >= 0)
          copy_in(stage.rows[entry], table + static_cast<long long>(word[i]) * S::D, S::D * 4, &shared.full[at]);
      }
    }
  }
  for (int last = number; last < number + S::GROUPS; ++last) {  // each group sees one of these
    const int at = last % S::STAGES;
    wait(&shared.empty[at], last / S::STAGES % 2 ^ 1);
    if (lane == 0) {
      shared.stage[at].end = 1;
      arrive(&shared.noted[at]);
    }
  }
  if (lane == 0) atomicAdd(of.pairs, pairs);
}

// ---- the writer

template <class S>
__device__ void write(const Arguments &of, Shared<S> &shared, int lane) {
  for (int number = 0;; ++number) {
    const int at = number % S::STAGES, parity = number / S::STAGES % 2;
    Stage<S> &stage = shared.stage[at];
    wait(&shared.noted[at], parity);
    if (stage.end) break;
    wait(&shared.done[at], parity);
    for (int entry = lane; entry < S::ROWS; entry += 32) {
      float *table = entry < S::C ? of.w_out : of.w_in;
      if (stage.scales[entry] > 0)
        add_out(table + static_cast<long long>(stage.ids[entry]) * S::D, stage.rows[entry], S::D * 4);
    }
    wait_for_reads();
    __syncwarp();
    if (lane == 0) arrive(&shared.empty[at]);
  }
}

// ---- a group: one tile

// The row cap: an entry's scale is min(1, cap / x), x = lr * max(weight of all entries with its word, static weight).
template <class S>
__device__ void note_scales(const Arguments &of, Stage<S> &stage, float *weights, int group, int member) {
  const int word = member < S::ROWS ? stage.ids[member] : -1;
  const bool is_column = member < S::C;
  float own = 0.f, fixed = 0.f;
  if (word >= 0) {
    fixed = (is_column ? of.out_weight : of.in_weight)[word];  // on its way while the windows are counted
    if (member < S::TARGETS) {
#pragma unroll
      for (int distance = -S::W; distance <= S::W; ++distance) {
        const int t = member - S::W - distance;  // whose target at this distance the column is
        if (distance != 0 && t >= 0 && t < S::T) own += distance >= -stage.left[t] && distance <= stage.right[t];
      }
    } else {
      own = is_column ? stage.drawn_weight
                      : (stage.left[member - S::C] + stage.right[member - S::C]) * of.weight_per_pair;
    }
  }
  if (member < S::ROWS) weights[member] = own;
  group_barrier(group);
  float same = 0.f;
  const int begin = is_column ? 0 : S::C, end = is_column ? S::C : S::ROWS;
  for (int other = begin; other < end; other += 4) {
    const int4 ids = *reinterpret_cast<const int4 *>(&stage.ids[other]);
    const float4 weight = *reinterpret_cast<const float4 *>(&weights[other]);
    same += (ids.x == word ? weight.x : 0.f) + (ids.y == word ? weight.y : 0.f);
    same += (ids.z == word ? weight.z : 0.f) + (ids.w == word ? weight.w : 0.f);
  }
  const float scale = own > 0 ? of.cap / fmaxf(stage.lr * fmaxf(same, fixed), of.cap) : 0.f;
  if (member < S::ROWS) stage.scales[member] = scale;
}

// Pass 1: S = V X^T in registers, then G = lr * weight * (label - sigmoid(S)) into shared memory. Returns the loss.
template <class S>
__device__ float score_and_weigh(const Arguments &of, const Stage<S> &stage, float (*g)[S::OF_G], int warp, int lane) {
  const int row = warp / S::OVER_C * 16, block = warp % S::OVER_C * S::BLOCKS;
  float sum[S::BLOCKS][4] = {};
  // Lanes' addresses of ldmatrix: of A two row halves by two halves of K; of B one block's rows by four quarters of 16.
  const float *v = &stage.rows[S::C + row + lane % 16][lane / 16 * 4];
  const float *x = &stage.rows[block * 8 + lane % 8][lane / 8 * 4];
#pragma unroll 4
  for (int d = 0; d < S::PADDED; d += 16) {
    uint32_t low[4], high[4];
    four_blocks(low, v + d);
    four_blocks(high, v + d + 8);
#pragma unroll
    for (int n = 0; n < S::BLOCKS; ++n) {
      uint32_t b[4];
      four_blocks(b, x + n * 8 * S::STRIDE + d);
      multiply(sum[n], low, b[0], b[1]);
      multiply(sum[n], high, b[2], b[3]);
    }
  }
  float loss = 0.f;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int t = row + half * 8 + lane / 4, left = stage.left[t], right = stage.right[t];
    const float of_draw = (left + right) * of.negatives / S::N;
#pragma unroll
    for (int n = 0; n < S::BLOCKS; ++n) {
      float gradient[2];
#pragma unroll
      for (int side = 0; side < 2; ++side) {
        const int column = (block + n) * 8 + lane % 4 * 2 + side, distance = column - S::W - t;
        const bool is_target = column < S::TARGETS;
        const bool own = distance != 0 && distance >= -left && distance <= right;
        float weight = column < S::TARGETS + S::N ? of_draw : 0.f;
        if (is_target) weight = own ? 1.f : 0.f;
        const float against = is_target ? -sum[n][2 * half + side] : sum[n][2 * half + side];
        const float tail = __expf(-fabsf(against)), factor = 1.f + tail;
        const float wrong = __fdividef(against >= 0 ? 1.f : tail, factor);
        // By choice, not by product: a row that holds no word may hold anything finite.
        gradient[side] = weight > 0 ? (is_target ? stage.lr : -stage.lr) * weight * wrong : 0.f;
        loss += weight > 0 ? weight * (__logf(factor) + fmaxf(against, 0.f)) : 0.f;
      }
      *reinterpret_cast<float2 *>(&g[t][(block + n) * 8 + lane % 4 * 2]) = make_float2(gradient[0], gradient[1]);
    }
  }
  return loss;
}

// Pass 2: dV = s_in (G X) and dX = s_out (G^T V), 16 columns of D at a time, in the place of V and X.
template <class S>
__device__ void update(Stage<S> &stage, const float (*g)[S::OF_G], int warp, int lane) {
  const int high = lane / 4, low = lane % 4;
  for (int d = warp * 16; d < S::PADDED; d += 64) {
    float dv[S::OVER_T][2][4] = {};
#pragma unroll 2
    for (int c = 0; c < S::C; c += 8) {
      uint32_t b[2][2];
#pragma unroll
      for (int n = 0; n < 2; ++n)
        for (int k = 0; k < 2; ++k) b[n][k] = bits(stage.rows[c + 4 * k + low][d + 8 * n + high]);
#pragma unroll
      for (int m = 0; m < S::OVER_T; ++m) {
        uint32_t a[4];
        four_blocks(a, &g[m * 16 + lane % 16][c + lane / 16 * 4]);
        multiply(dv[m][0], a, b[0][0], b[0][1]);
        multiply(dv[m][1], a, b[1][0], b[1][1]);
      }
    }
    uint32_t v[S::T / 8][2][2];
#pragma unroll
    for (int k = 0; k < S::T / 8; ++k)
      for (int n = 0; n < 2; ++n)
        for (int i = 0; i < 2; ++i) v[k][n][i] = bits(stage.rows[S::C + k * 8 + 4 * i + low][d + 8 * n + high]);
    __syncwarp();  // all lanes have read these columns
    for (int c = 0; c < S::C; c += 16) {
      float dx[2][4] = {};
#pragma unroll
      for (int k = 0; k < S::T / 8; ++k) {
        const float *top = &g[k * 8 + low][c + high], *bottom = &g[k * 8 + 4 + low][c + high];
        const uint32_t a[4] = {bits(top[0]), bits(top[8]), bits(bottom[0]), bits(bottom[8])};
        multiply(dx[0], a, v[k][0][0], v[k][0][1]);
        multiply(dx[1], a, v[k][1][0], v[k][1][1]);
      }
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float scale = stage.scales[c + 8 * half + high];
        for (int n = 0; n < 2; ++n)
          *reinterpret_cast<float2 *>(&stage.rows[c + 8 * half + high][d + 8 * n + 2 * low]) =
              make_float2(scale * dx[n][2 * half], scale * dx[n][2 * half + 1]);
      }
    }
#pragma unroll
    for (int m = 0; m < S::OVER_T; ++m)
      for (int half = 0; half < 2; ++half) {
        const int row = S::C + m * 16 + 8 * half + high;
        const float scale = stage.scales[row];
        for (int n = 0; n < 2; ++n)
          *reinterpret_cast<float2 *>(&stage.rows[row][d + 8 * n + 2 * low]) =
              make_float2(scale * dv[m][n][2 * half], scale * dv[m][n][2 * half + 1]);
      }
  }
}

template <class S>
__device__ void compute(const Arguments &of, Shared<S> &shared, int group, int member) {
  const int warp = member / 32, lane = member % 32;
  double loss = 0.0;
  for (int number = group;; number += S::GROUPS) {
    const int at = number % S::STAGES, parity = number / S::STAGES % 2;
    Stage<S> &stage = shared.stage[at];
    wait(&shared.noted[at], parity);
    if (stage.end) break;
    note_scales<S>(of, stage, shared.weights[group], group, member);
    wait(&shared.full[at], parity);
    loss += score_and_weigh<S>(of, stage, shared.g[group], warp, lane);
    group_barrier(group);
    update<S>(stage, shared.g[group], warp, lane);
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");  // the writer's reductions read what was stored
    arrive(&shared.done[at]);
    // The next tile's weights and G are written behind its own barrier, which no warp passes before all are here.
  }
  atomicAdd(of.loss, loss);
}

template <class S>
__global__ void __launch_bounds__(S::THREADS, 1) hopper_tile(const Arguments of) {
  extern __shared__ __align__(128) unsigned char memory[];
  Shared<S> &shared = *reinterpret_cast<Shared<S> *>(memory);
  // Rows and columns that hold no word must be finite: zero at first, and later what a tile has left there.
  for (int i = threadIdx.x; i < static_cast<int>(sizeof(shared) / 4); i += S::THREADS)
    reinterpret_cast<uint32_t *>(memory)[i] = 0;
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  __syncthreads();
  if (threadIdx.x == 0) {
    for (int at = 0; at < S::STAGES; ++at) {
      prepare(&shared.noted[at], 1);
      prepare(&shared.full[at], 1);
      prepare(&shared.done[at], MEMBERS);
      prepare(&shared.empty[at], 1);
    }
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  __syncthreads();
  const int lane = threadIdx.x % 32, member = static_cast<int>(threadIdx.x) - 64;
  if (threadIdx.x < 32)
    produce<S>(of, shared, lane);
  else if (threadIdx.x < 64)
    write<S>(of, shared, lane);
  else
    compute<S>(of, shared, member / MEMBERS, member % MEMBERS);
}

// They launch one block a processor, with sizeof(Shared<S>) of dynamic shared memory. 106 rows of 300 columns fit once.
using At128 = Shape<128, 32, 32, 5, 2, 3>;
using At300 = Shape<300, 32, 32, 5, 1, 1>;
using Short300 = Shape<300, 16, 32, 5, 1, 2>;
static_assert(sizeof(Shared<At128>) <= 227 * 1024 && sizeof(Shared<At300>) <= 227 * 1024);
static_assert(sizeof(Shared<Short300>) <= 227 * 1024);
template __global__ void hopper_tile<At128>(Arguments);
template __global__ void hopper_tile<At300>(Arguments);
template __global__ void hopper_tile<Short300>(Arguments);
