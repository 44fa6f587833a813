/* A block of the cache against the queries of one head: where attention spends its time.
 *
 * Vectors are the compilers' own (gcc, clang), as wide as the processor's: of wider ones gcc keeps
 * the halves in memory.
 */
#include "attention_block.h"

#include "scalar.h"

#if defined(__AVX512F__)
#define LANES 16
#define LOW_1 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30
#define HIGH_1 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31
#define LOW_2 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29
#define HIGH_2 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31
#define LOW_4 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27
#define HIGH_4 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31
#define LOW_8 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23
#define HIGH_8 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31
#elif defined(__AVX__)
#define LANES 8
#define LOW_1 0, 8, 2, 10, 4, 12, 6, 14
#define HIGH_1 1, 9, 3, 11, 5, 13, 7, 15
#define LOW_2 0, 1, 8, 9, 4, 5, 12, 13
#define HIGH_2 2, 3, 10, 11, 6, 7, 14, 15
#define LOW_4 0, 1, 2, 3, 8, 9, 10, 11
#define HIGH_4 4, 5, 6, 7, 12, 13, 14, 15
#else
#define LANES 4
#define LOW_1 0, 4, 2, 6
#define HIGH_1 1, 5, 3, 7
#define LOW_2 0, 1, 4, 5
#define HIGH_2 2, 3, 6, 7
#endif
typedef float lanes __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint16_t halves __attribute__((vector_size(2 * LANES), aligned(2), may_alias));
typedef uint32_t words __attribute__((vector_size(4 * LANES)));

void widen_bf16(const uint16_t *restrict values, int64_t n, float *restrict out) {
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        words wide = __builtin_convertvector(*(const halves *)(values + i), words) << 16;
        *(lanes *)(out + i) = (lanes)wide;
    }
    for (; i < n; i++) out[i] = from_bf16(values[i]);
}

/* Neighbours of all vectors, `n` lanes each, are added; pairs of vectors become one. */
#define FOLD(sums, n)                                                                             \
    _Pragma("GCC unroll 8") for (int i = 0; i < LANES / 2 / n; i++) sums[i] =                     \
        __builtin_shufflevector(sums[2 * i], sums[2 * i + 1], LOW_##n) +                          \
        __builtin_shufflevector(sums[2 * i], sums[2 * i + 1], HIGH_##n)

/* Lane i of the result is the sum of all lanes of sums[i]. */
static inline lanes sum_each(lanes *sums) {
    FOLD(sums, 1);
    FOLD(sums, 2);
#if LANES > 4
    FOLD(sums, 4);
#endif
#if LANES > 8
    FOLD(sums, 8);
#endif
    return sums[0];
}

/* The scores of as many positions as a vector has lanes. */
static inline lanes score_lanes(const float *query, const float *keys, int64_t width) {
    lanes sums[LANES] = {0};
    for (int64_t i = 0; i < width; i += LANES) {
        lanes part = *(const lanes *)(query + i);
#pragma GCC unroll 16
        for (int j = 0; j < LANES; j++) sums[j] += part * *(const lanes *)(keys + j * width + i);
    }
    return sum_each(sums);
}

static void score_any(const float *restrict query, const float *restrict keys, int64_t width,
                      float *restrict scores) {
    for (int64_t j = 0; j < BLOCK; j++) {
        float sum = 0;
        for (int64_t i = 0; i < width; i++) sum += query[i] * keys[j * width + i];
        scores[j] = sum;
    }
}

void score(const float *query, const float *keys, int64_t seen, int64_t width, float *scores) {
    if (width % LANES)
        score_any(query, keys, width, scores);
    else
        for (int64_t j = 0; j < seen; j += LANES)
            *(lanes *)(scores + j) = score_lanes(query, keys + j * width, width);
}

void update_softmax(float *restrict scores, struct softmax *softmax, float *restrict outputs,
                    int64_t width) {
    float largest = softmax->maximum, sum = 0;
#pragma omp simd reduction(max : largest)
    for (int j = 0; j < BLOCK; j++) largest = scores[j] > largest ? scores[j] : largest;
#pragma omp simd reduction(+ : sum)
    for (int j = 0; j < BLOCK; j++) {
        scores[j] = exponential(scores[j] - largest);
        sum += scores[j];
    }
    float correction = exponential(softmax->maximum - largest);
    *softmax = (struct softmax){largest, softmax->sum * correction + sum};
    for (int64_t i = 0; i < width; i++) outputs[i] *= correction;
}

enum { ACROSS = LANES == 16 ? 4 : 8 }; /* so many sums, which do not wait for each other */

/* `count` vectors of each value at once, so that their sums stay in registers. */
static inline void add_lanes(const float *weights, const float *values, int64_t seen,
                             int64_t width, int count, float *out) {
    lanes sums[ACROSS];
    for (int i = 0; i < count; i++) sums[i] = *(lanes *)(out + i * LANES);
    for (int64_t j = 0; j < seen; j++)
        for (int i = 0; i < count; i++)
            sums[i] += weights[j] * *(const lanes *)(values + j * width + i * LANES);
    for (int i = 0; i < count; i++) *(lanes *)(out + i * LANES) = sums[i];
}

void add_weighted(const float *restrict weights, const float *restrict values, int64_t seen,
                  int64_t width, float *restrict out) {
    int64_t i = 0;
    for (; i + ACROSS * LANES <= width; i += ACROSS * LANES)
        add_lanes(weights, values + i, seen, width, ACROSS, out + i);
    for (; i + LANES <= width; i += LANES)
        add_lanes(weights, values + i, seen, width, 1, out + i);
    for (; i < width; i++)
        for (int64_t j = 0; j < seen; j++) out[i] += weights[j] * values[j * width + i];
}
