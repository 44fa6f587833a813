/* A block of a bf16 cache against queries in bf16, with AVX-512's dot products of bf16 pairs.
 *
 * Keys and values are multiplied as they lie in the cache. Rounding queries and softmax weights to
 * bf16 adds no more than the cache's own rounding; sums are fp32.
 */
#include "attention_block.h"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512BF16__)

#include <immintrin.h>

enum { LANES = 16, PAIRS = 32, LINE = 64, AHEAD = BLOCK }; /* AHEAD: positions, measured */

int has_fast_attention(int64_t width) { return width % PAIRS == 0; }

void round_to_bf16(const float *values, int64_t n, uint16_t *out) {
    for (int64_t i = 0; i < n; i += LANES)
        _mm256_storeu_si256((__m256i *)(out + i),
                            (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(values + i)));
}

static inline __m512bh load_pairs(const uint16_t *values) {
    return (__m512bh)_mm512_loadu_si512(values);
}

/* Asks for as many positions further on; past the cache's end that does nothing. */
static inline void prefetch_ahead(const uint16_t *vectors, int64_t count, int64_t width) {
    const char *first = (const char *)(vectors + AHEAD * width);
    for (int64_t at = 0; at < count * width * 2; at += LINE) _mm_prefetch(first + at, _MM_HINT_T0);
}

/* One vector of two, each of whose lanes is the sum of two lanes of one of them. */
#define FOLD(a, b, low, high) _mm512_add_ps(low(a, b), high(a, b))
#define LOW_4(a, b) _mm512_shuffle_f32x4(a, b, 0x88)
#define HIGH_4(a, b) _mm512_shuffle_f32x4(a, b, 0xdd)

static inline __m512 fold_lanes(__m512 a, __m512 b) {
    return FOLD(a, b, _mm512_unpacklo_ps, _mm512_unpackhi_ps);
}

static inline __m512 fold_pairs(__m512 a, __m512 b) {
    __m512d x = _mm512_castps_pd(a), y = _mm512_castps_pd(b);
    return _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(x, y)),
                         _mm512_castpd_ps(_mm512_unpackhi_pd(x, y)));
}

static inline __m512 fold_quads(__m512 a, __m512 b) { return FOLD(a, b, LOW_4, HIGH_4); }

/* The sum of all lanes of sums[i] in lane i. */
static inline __m512 fold_all(__m512 *sums) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) sums[i] = fold_lanes(sums[2 * i], sums[2 * i + 1]);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) sums[i] = fold_pairs(sums[2 * i], sums[2 * i + 1]);
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) sums[i] = fold_quads(sums[2 * i], sums[2 * i + 1]);
    return fold_quads(sums[0], sums[1]);
}

static inline void score_16(const uint16_t *query, const uint16_t *const keys[LANES],
                            int64_t width, float *scores) {
    __m512 sums[LANES];
    __m512bh part = load_pairs(query);
#pragma GCC unroll 16
    for (int j = 0; j < LANES; j++)
        sums[j] = _mm512_dpbf16_ps(_mm512_setzero_ps(), part, load_pairs(keys[j]));
    for (int64_t i = PAIRS; i < width; i += PAIRS) {
        part = load_pairs(query + i);
#pragma GCC unroll 16
        for (int j = 0; j < LANES; j++)
            sums[j] = _mm512_dpbf16_ps(sums[j], part, load_pairs(keys[j] + i));
    }
    _mm512_storeu_ps(scores, fold_all(sums));
}

void score_rows(const uint16_t *queries, int64_t rows, const uint16_t *keys, int64_t count,
                int64_t width, float *scores) {
    for (int64_t first = 0; first < count; first += LANES) {
        const uint16_t *at[LANES];
        prefetch_ahead(keys + first * width, LANES, width);
        for (int j = 0; j < LANES; j++) {
            int64_t position = first + j < count ? first + j : count - 1;
            at[j] = keys + position * width;
        }
        for (int64_t row = 0; row < rows; row++)
            score_16(queries + row * width, at, width, scores + row * BLOCK + first);
    }
}

/* Two positions' values side by side, half of 32 columns each. */
struct pair {
    __m512bh low, high;
};

static inline struct pair load_pair(const uint16_t *first, const uint16_t *second) {
    __m512i a = _mm512_loadu_si512(first);
    __m512i b = second ? _mm512_loadu_si512(second) : _mm512_setzero_si512();
    return (struct pair){(__m512bh)_mm512_unpacklo_epi16(a, b),
                         (__m512bh)_mm512_unpackhi_epi16(a, b)};
}

static inline __m512bh broadcast_pair(const uint16_t *weights) {
    return (__m512bh)_mm512_set1_epi32(*(const int32_t *)weights);
}

static inline void add_columns(const uint16_t *weights, int rows, const uint16_t *values,
                               int64_t count, int64_t width, float *const *out, int64_t column) {
    const __m512i first = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
    const __m512i second = _mm512_add_epi32(first, _mm512_set1_epi32(8));
    __m512 low[ROWS], high[ROWS];
    for (int row = 0; row < rows; row++) low[row] = high[row] = _mm512_setzero_ps();
    for (int64_t j = 0; j < count; j += 2) {
        const uint16_t *at = values + j * width + column;
        if (!column) prefetch_ahead(at, 2, width);
        struct pair pair = load_pair(at, j + 1 < count ? at + width : NULL);
        for (int row = 0; row < rows; row++) {
            __m512bh weight = broadcast_pair(weights + row * BLOCK + j);
            low[row] = _mm512_dpbf16_ps(low[row], pair.low, weight);
            high[row] = _mm512_dpbf16_ps(high[row], pair.high, weight);
        }
    }
    for (int row = 0; row < rows; row++) {
        float *to = out[row] + column;
        __m512 left = _mm512_permutex2var_ps(low[row], first, high[row]);
        __m512 right = _mm512_permutex2var_ps(low[row], second, high[row]);
        _mm512_storeu_ps(to, _mm512_add_ps(_mm512_loadu_ps(to), left));
        _mm512_storeu_ps(to + LANES, _mm512_add_ps(_mm512_loadu_ps(to + LANES), right));
    }
}

#define ADD(rows) add_columns(weights, rows, values, count, width, out, column)

void add_weighted_rows(const uint16_t *weights, int64_t rows, const uint16_t *values,
                       int64_t count, int64_t width, float *const *out) {
    for (int64_t column = 0; column < width; column += PAIRS) switch (rows) {
            case 1: ADD(1); break;
            case 2: ADD(2); break;
            case 3: ADD(3); break;
            case 4: ADD(4); break;
            case 5: ADD(5); break;
            case 6: ADD(6); break;
            case 7: ADD(7); break;
            default: ADD(8);
        }
}

#else

int has_fast_attention(int64_t width) {
    (void)width;
    return 0;
}

void round_to_bf16(const float *values, int64_t n, uint16_t *out) { (void)values, (void)n, (void)out; }

void score_rows(const uint16_t *queries, int64_t rows, const uint16_t *keys, int64_t count,
                int64_t width, float *scores) {
    (void)queries, (void)rows, (void)keys, (void)count, (void)width, (void)scores;
}

void add_weighted_rows(const uint16_t *weights, int64_t rows, const uint16_t *values,
                       int64_t count, int64_t width, float *const *out) {
    (void)weights, (void)rows, (void)values, (void)count, (void)width, (void)out;
}

#endif
