/* A block of a bf16 cache against queries in bf16, with AVX-512's dot products of bf16 pairs.
 *
 * Keys and values are multiplied as they lie in the cache. Rounding queries and softmax weights to
 * bf16 adds no more than the cache's own rounding; sums are fp32.
 */
#include "attention_block.h"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512BF16__)

#include <immintrin.h>
#include <string.h>

#include "bf16.h"
#include "scalar.h"
#include "tiles.h"

enum { LANES = 16, PAIRS = 32 };

int has_fast_attention(int64_t width) { return width % PAIRS == 0; }

static inline __m512bh load_pairs(const uint16_t *values) {
    return (__m512bh)_mm512_loadu_si512(values);
}

/* Reads vectors once, in the order of their memory, so that they are near when they are multiplied:
 * a processor reads ahead by itself then, and prefetch instructions are slower (measured). */
static inline void read_through(const uint16_t *vectors, int64_t n) {
    __m512i read = _mm512_setzero_si512();
    for (int64_t i = 0; i < n; i += PAIRS)
        read = _mm512_or_si512(read, _mm512_loadu_si512(vectors + i));
    __asm__ volatile("" : : "v"(read)); /* or the compiler would leave it out */
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
    read_through(keys, count * width);
    for (int64_t first = 0; first < count; first += LANES) {
        const uint16_t *at[LANES];
        for (int j = 0; j < LANES; j++) {
            int64_t position = first + j < count ? first + j : count - 1;
            at[j] = keys + position * width;
        }
        for (int64_t row = 0; row < rows; row++)
            score_16(queries + row * width, at, width, scores + row * BLOCK + first);
    }
}

/* Rows and columns of 16 x 16 words change places. */
static inline void transpose_16(__m512i rows[LANES]) {
    __m512i t[LANES];
#pragma GCC unroll 8
    for (int i = 0; i < LANES; i += 2) {
        t[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < LANES; i += 4) {
        rows[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        rows[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        rows[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        rows[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) { /* rows[4 k + i]: columns i, i + 4, ... of rows 4 k to 4 k + 3 */
        __m512i low = _mm512_shuffle_i32x4(rows[i], rows[4 + i], 0x88);
        __m512i high = _mm512_shuffle_i32x4(rows[i], rows[4 + i], 0xdd);
        __m512i low_2 = _mm512_shuffle_i32x4(rows[8 + i], rows[12 + i], 0x88);
        __m512i high_2 = _mm512_shuffle_i32x4(rows[8 + i], rows[12 + i], 0xdd);
        t[i] = _mm512_shuffle_i32x4(low, low_2, 0x88);
        t[8 + i] = _mm512_shuffle_i32x4(low, low_2, 0xdd);
        t[4 + i] = _mm512_shuffle_i32x4(high, high_2, 0x88);
        t[12 + i] = _mm512_shuffle_i32x4(high, high_2, 0xdd);
    }
    memcpy(rows, t, sizeof t);
}

void pack_rows(const uint16_t *values, int64_t count, int64_t width, uint32_t *packed,
               int64_t rows) {
    for (int64_t first = 0; first < rows; first += LANES)
        for (int64_t column = 0; column < width; column += PAIRS) {
            __m512i some[LANES];
            for (int j = 0; j < LANES; j++) {
                int64_t row = first + j < count ? first + j : count - 1;
                some[j] = _mm512_loadu_si512(values + row * width + column);
            }
            transpose_16(some);
            for (int pair = 0; pair < LANES; pair++)
                _mm512_storeu_si512(packed + (column / 2 + pair) * rows + first, some[pair]);
        }
}

/* Two positions' values side by side, in the order of the columns. */
static inline void pack_pair(const uint16_t *first, const uint16_t *second, uint32_t *packed) {
    const __m512i low = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
    const __m512i high = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    __m512i a = _mm512_loadu_si512(first), b = _mm512_loadu_si512(second);
    __m512i even = _mm512_unpacklo_epi16(a, b), odd = _mm512_unpackhi_epi16(a, b);
    _mm512_storeu_si512(packed, _mm512_permutex2var_epi64(even, low, odd));
    _mm512_storeu_si512(packed + LANES, _mm512_permutex2var_epi64(even, high, odd));
}

void pack_values(const uint16_t *values, int64_t count, int64_t width, uint32_t *packed) {
    for (int64_t j = 0; j < BLOCK; j += 2)
        for (int64_t column = 0; column < width; column += PAIRS) {
            int64_t first = j < count ? j : count - 1, second = j + 1 < count ? j + 1 : count - 1;
            pack_pair(values + first * width + column, values + second * width + column,
                      packed + j / 2 * width + column);
        }
}

enum { VECTORS = BLOCK / LANES };

void multiply_packed(const uint16_t *left, int64_t rows, int64_t pairs, const uint32_t *packed,
                     int64_t width, int adding, float *out) {
    for (; rows > 0; rows -= TILED_ROWS) {
        for (int64_t column = 0; column < width; column += 2 * TILE) {
            const uint32_t *right[] = {packed + column, packed + column + TILE};
            float *to[] = {out + column, out + column + TILE};
            multiply_bf16(left_rows(left, 2 * pairs), rows, right, width, pairs, adding, to, width);
        }
        left += TILED_ROWS * 2 * pairs;
        out += TILED_ROWS * width;
    }
}

/* 2^x, to 5e-5: the weights are rounded to 4e-3. Taylor series on half an octave to each side. */
static inline __m512 power_of_2(__m512 x) {
    __m512 whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 rest = _mm512_sub_ps(x, whole);
    __m512 p = _mm512_fmadd_ps(_mm512_set1_ps(0.00961813f), rest, _mm512_set1_ps(0.05550411f));
    p = _mm512_fmadd_ps(p, rest, _mm512_set1_ps(0.24022651f));
    p = _mm512_fmadd_ps(p, rest, _mm512_set1_ps(0.69314718f));
    p = _mm512_fmadd_ps(p, rest, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(p, whole);
}

static void raise_maximum(float largest, struct softmax *softmax, float *outputs, int64_t width) {
    float correction = exponential(softmax->maximum - largest);
    *softmax = (struct softmax){largest, softmax->sum * correction};
    for (int64_t i = 0; i < width; i++) outputs[i] *= correction;
}

void weigh_row(const float *scores, int64_t seen, struct softmax *softmax, float *outputs,
               int64_t width, uint16_t *weights) {
    __m512 values[VECTORS], largest = _mm512_set1_ps(NOTHING_YET), sum = _mm512_setzero_ps();
    if (seen <= 0) {
        memset(weights, 0, BLOCK * sizeof *weights);
        return;
    }
    for (int v = 0; v < VECTORS; v++) {
        int64_t rest = seen - v * LANES;
        __mmask16 lanes = rest >= LANES ? 0xffff : rest <= 0 ? 0 : (__mmask16)((1u << rest) - 1);
        values[v] = _mm512_mask_loadu_ps(_mm512_set1_ps(NOTHING_YET), lanes, scores + v * LANES);
        largest = _mm512_max_ps(largest, values[v]);
    }
    float maximum = _mm512_reduce_max_ps(largest);
    if (maximum > softmax->maximum) raise_maximum(maximum, softmax, outputs, width);
    __m512 above = _mm512_set1_ps(softmax->maximum);
    for (int v = 0; v < VECTORS; v++) {
        __m512 below = _mm512_sub_ps(values[v], above);
        __m512 weight = power_of_2(_mm512_mul_ps(below, _mm512_set1_ps(1.44269504f)));
        sum = _mm512_add_ps(sum, weight);
        _mm256_storeu_si256((__m256i *)(weights + v * LANES), (__m256i)_mm512_cvtneps_pbh(weight));
    }
    softmax->sum += _mm512_reduce_add_ps(sum);
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

enum { WEIGHTED_ROWS = 8 }; /* whose sums stay in registers */

static inline void add_columns(const uint16_t *weights, int rows, const uint16_t *values,
                               int64_t count, int64_t width, float *out) {
    const __m512i first = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
    const __m512i second = _mm512_add_epi32(first, _mm512_set1_epi32(8));
    __m512 low[WEIGHTED_ROWS], high[WEIGHTED_ROWS];
    for (int row = 0; row < rows; row++) low[row] = high[row] = _mm512_setzero_ps();
    for (int64_t j = 0; j < count; j += 2) {
        const uint16_t *at = values + j * width;
        struct pair pair = load_pair(at, j + 1 < count ? at + width : NULL);
        for (int row = 0; row < rows; row++) {
            __m512bh weight = broadcast_pair(weights + row * BLOCK + j);
            low[row] = _mm512_dpbf16_ps(low[row], pair.low, weight);
            high[row] = _mm512_dpbf16_ps(high[row], pair.high, weight);
        }
    }
    for (int row = 0; row < rows; row++) {
        float *to = out + row * width;
        __m512 left = _mm512_permutex2var_ps(low[row], first, high[row]);
        __m512 right = _mm512_permutex2var_ps(low[row], second, high[row]);
        _mm512_storeu_ps(to, _mm512_add_ps(_mm512_loadu_ps(to), left));
        _mm512_storeu_ps(to + LANES, _mm512_add_ps(_mm512_loadu_ps(to + LANES), right));
    }
}

#define ADD(rows) add_columns(weights, rows, values + column, count, width, out + column)

void add_weighted_rows(const uint16_t *weights, int64_t rows, const uint16_t *values,
                       int64_t count, int64_t width, float *out) {
    read_through(values, count * width);
    for (; rows > 0; rows -= WEIGHTED_ROWS) {
        for (int64_t column = 0; column < width; column += PAIRS) switch (rows) {
                case 1: ADD(1); break;
                case 2: ADD(2); break;
                case 3: ADD(3); break;
                case 4: ADD(4); break;
                case 5: ADD(5); break;
                case 6: ADD(6); break;
                case 7: ADD(7); break;
                default: ADD(WEIGHTED_ROWS);
            }
        weights += WEIGHTED_ROWS * BLOCK;
        out += WEIGHTED_ROWS * width;
    }
}

#else

int has_fast_attention(int64_t width) {
    (void)width;
    return 0;
}


void score_rows(const uint16_t *queries, int64_t rows, const uint16_t *keys, int64_t count,
                int64_t width, float *scores) {
    (void)queries, (void)rows, (void)keys, (void)count, (void)width, (void)scores;
}

void pack_rows(const uint16_t *values, int64_t count, int64_t width, uint32_t *packed,
               int64_t rows) {
    (void)values, (void)count, (void)width, (void)packed, (void)rows;
}

void pack_values(const uint16_t *values, int64_t count, int64_t width, uint32_t *packed) {
    (void)values, (void)count, (void)width, (void)packed;
}

void multiply_packed(const uint16_t *left, int64_t rows, int64_t pairs, const uint32_t *packed,
                     int64_t width, int adding, float *out) {
    (void)left, (void)rows, (void)pairs, (void)packed, (void)width, (void)adding, (void)out;
}

void weigh_row(const float *scores, int64_t seen, struct softmax *softmax, float *outputs,
               int64_t width, uint16_t *weights) {
    (void)scores, (void)seen, (void)softmax, (void)outputs, (void)width, (void)weights;
}

void add_weighted_rows(const uint16_t *weights, int64_t rows, const uint16_t *values,
                       int64_t count, int64_t width, float *out) {
    (void)weights, (void)rows, (void)values, (void)count, (void)width, (void)out;
}

#endif
