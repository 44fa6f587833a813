#define _GNU_SOURCE
#include "tiles.h"

#include "bf16.h"
#include "midfill.h"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512BF16__)

#include <immintrin.h>

struct left left_rows(const uint16_t *values, int64_t width) {
    return (struct left){values, width, TILE * width, 2 * TILE};
}

struct left left_packed(const uint16_t *values, int64_t width) {
    return (struct left){values, 2 * TILE, TILE * width, TILE * 2 * TILE};
}

void pack_left(const float *row, int64_t number, int64_t width, uint16_t *packed) {
    uint16_t *out = packed + number / TILE * TILE * width + number % TILE * 2 * TILE;
    for (int64_t i = 0; i < width; i += 2 * TILE, out += TILE * 2 * TILE)
        round_to_bf16(row + i, 2 * TILE, out);
}

enum { SUMMED_ROWS = 8 }; /* whose sums stay in registers */

static void multiply_some(struct left left, const uint32_t *const right[2], int64_t right_stride,
                          int64_t pairs, int adding, float *const out[2], int64_t out_stride) {
    __m512 sums[SUMMED_ROWS][2];
    for (int row = 0; row < SUMMED_ROWS; row++)
        for (int i = 0; i < 2; i++)
            sums[row][i] = adding ? _mm512_loadu_ps(out[i] + row * out_stride)
                                  : _mm512_setzero_ps();
    for (int64_t pair = 0; pair < pairs; pair++) {
        const uint16_t *at = left.values + pair / TILE * left.next + pair % TILE * 2;
        __m512bh first = (__m512bh)_mm512_loadu_si512(right[0] + pair * right_stride);
        __m512bh second = (__m512bh)_mm512_loadu_si512(right[1] + pair * right_stride);
        for (int row = 0; row < SUMMED_ROWS; row++) {
            __m512bh both = broadcast_pair(at + row * left.row);
            sums[row][0] = _mm512_dpbf16_ps(sums[row][0], first, both);
            sums[row][1] = _mm512_dpbf16_ps(sums[row][1], second, both);
        }
    }
    for (int row = 0; row < SUMMED_ROWS; row++)
        for (int i = 0; i < 2; i++) _mm512_storeu_ps(out[i] + row * out_stride, sums[row][i]);
}

static void multiply_in_vectors(struct left left, int64_t rows, const uint32_t *const right[2],
                                int64_t right_stride, int64_t pairs, int adding,
                                float *const out[2], int64_t out_stride) {
    for (int64_t row = 0; row < rows; row += SUMMED_ROWS) {
        struct left below = left;
        below.values += row / TILE * left.below + row % TILE * left.row;
        float *to[] = {out[0] + row * out_stride, out[1] + row * out_stride};
        multiply_some(below, right, right_stride, pairs, adding, to, out_stride);
    }
}

int has_bf16_products(void) { return 1; }

#else

int has_bf16_products(void) { return 0; }

struct left left_rows(const uint16_t *values, int64_t width) {
    return (struct left){values, width, 0, 0};
}

struct left left_packed(const uint16_t *values, int64_t width) { return left_rows(values, width); }

void pack_left(const float *row, int64_t number, int64_t width, uint16_t *packed) {
    (void)row, (void)number, (void)width, (void)packed;
}

#endif

#if defined(__AMX_TILE__) && defined(__AMX_BF16__) && defined(__AVX512F__) && defined(__linux__)

#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
enum { UNKNOWN, ABSENT, PRESENT };

int has_tiles(void) {
    static _Atomic int known = UNKNOWN;
    if (known == UNKNOWN)
        known = syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) ? ABSENT : PRESENT;
    return known == PRESENT;
}

struct shapes {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};
static const struct shapes whole_tiles = {
    .palette = 1,
    .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
    .rows = {TILE, TILE, TILE, TILE, TILE, TILE, TILE, TILE},
};

void open_tiles(void) { _tile_loadconfig(&whole_tiles); }

void close_tiles(void) { _tile_release(); }

/* Sums: rows 0 to 15 in tiles 0 and 1, those below in 2 and 3. Sides: left 4 and 6, right 5 and 7. */
#define START(tile, from) \
    if (adding)           \
        _tile_loadd(tile, from, bytes);   \
    else                  \
        _tile_zero(tile)

static void multiply_tiles(struct left left, int64_t rows, const uint32_t *const right[2],
                           int64_t right_stride, int64_t pairs, int adding, float *const out[2],
                           int64_t out_stride) {
    const uint16_t *at = left.values;
    int64_t bytes = out_stride * (int64_t)sizeof(float), below = TILE * out_stride;
    int64_t left_bytes = left.row * (int64_t)sizeof *at;
    int64_t right_bytes = right_stride * (int64_t)sizeof *right[0];
    START(0, out[0]);
    START(1, out[1]);
    if (rows > TILE) {
        START(2, out[0] + below);
        START(3, out[1] + below);
    }
    for (int64_t pair = 0; pair < pairs; pair += TILE, at += left.next) {
        _tile_loadd(4, at, left_bytes);
        _tile_loadd(5, right[0] + pair * right_stride, right_bytes);
        _tile_dpbf16ps(0, 4, 5);
        _tile_loadd(7, right[1] + pair * right_stride, right_bytes);
        _tile_dpbf16ps(1, 4, 7);
        if (rows <= TILE) continue;
        _tile_loadd(6, at + left.below, left_bytes);
        _tile_dpbf16ps(2, 6, 5);
        _tile_dpbf16ps(3, 6, 7);
    }
    _tile_stored(0, out[0], bytes);
    _tile_stored(1, out[1], bytes);
    if (rows > TILE) {
        _tile_stored(2, out[0] + below, bytes);
        _tile_stored(3, out[1] + below, bytes);
    }
}

/* Some bits of each word as the float 256 + x, x being those bits read as a whole number: they are
 * moved to where 256.0 has its ones (bit 15). */
#define ABOVE_256(words, shift, mask)                                                            \
    _mm512_castsi512_ps(_mm512_ternarylogic_epi32(                                               \
        (shift) > 0 ? _mm512_slli_epi32(words, (shift) > 0 ? (shift) : 0)                        \
                    : _mm512_srli_epi32(words, (shift) < 0 ? -(shift) : 0),                      \
        _mm512_set1_epi32((mask) << 15), _mm512_set1_epi32(0x43800000), 0xea))

/* Both rounded to bf16, one beside the other. */
static inline __m512i pair_up(__m512 first, __m512 second) {
    const __m512i half = _mm512_set1_epi32(0x8000), high = _mm512_set1_epi32((int)0xffff0000);
    __m512i low = _mm512_srli_epi32(_mm512_add_epi32(_mm512_castps_si512(first), half), 16);
    __m512i top = _mm512_add_epi32(_mm512_castps_si512(second), half);
    return _mm512_ternarylogic_epi32(low, top, high, 0xf8); /* low | (top & high) */
}

/* scale * q + offset, of 256 + q. */
struct line {
    __m512 scale, offset;
};

static inline __m512 halves_at(const uint8_t *halves) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)halves));
}

static inline __m512 bytes_at(const uint8_t *bytes) {
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)bytes)));
}

static inline struct line line_of(__m512 scale, __m512 offset, float zero) {
    return (struct line){scale, _mm512_fmadd_ps(scale, _mm512_set1_ps(-256.0f - zero), offset)};
}

static inline struct line int4_line_of(struct int4_group at) {
    __m512 scale = halves_at(at.scales);
    if (!at.offsets) return line_of(scale, _mm512_setzero_ps(), INT4_ZERO);
    __m512 offset = halves_at(at.offsets);
    if (!at.factors) return line_of(scale, offset, 0);
    scale = _mm512_mul_ps(scale, bytes_at(at.factors));
    return line_of(scale, _mm512_mul_ps(offset, bytes_at(at.factors + PANEL)), 0);
}

#define WEIGHT(words, shift, mask, line) \
    _mm512_fmadd_ps(ABOVE_256(words, shift, mask), (line).scale, (line).offset)

/* Four columns of all rows, of which each has one in some bits of each byte; two pairs. */
#define SPREAD(words, at, mask, line, out)                                                       \
    _mm512_storeu_si512(out, pair_up(WEIGHT(words, 15 - (at), mask, line),                       \
                                     WEIGHT(words, 7 - (at), mask, line)));                      \
    _mm512_storeu_si512((out) + PANEL, pair_up(WEIGHT(words, -1 - (at), mask, line),             \
                                               WEIGHT(words, -9 - (at), mask, line)))

enum { LINE = 4 * PANEL, LINES = GROUP / 4 };

void spread_int8_panel(const uint8_t *panel, int64_t groups, uint32_t *pairs) {
    for (int64_t group = 0; group < groups; group++, pairs += GROUP / 2 * PANEL) {
        const uint8_t *pair = panel + group / 2 * INT8_PAIR;
        struct line line = line_of(halves_at(pair + group % 2 * LINE / 2), _mm512_setzero_ps(), 128);
        const uint8_t *quants = pair + (1 + group % 2 * LINES) * LINE;
        for (int i = 0; i < LINES; i++) {
            __m512i words = _mm512_loadu_si512(quants + i * LINE);
            SPREAD(words, 0, 0xff, line, pairs + 2 * i * PANEL);
        }
    }
}

void spread_int4_panel(const uint8_t *panel, int64_t groups, int64_t format, uint32_t *pairs) {
    for (int64_t group = 0; group < groups; group++, pairs += GROUP / 2 * PANEL) {
        struct int4_group at = int4_group_at(panel, group, format);
        struct line line = int4_line_of(at);
        for (int i = 0; i < LINES / 2; i++) {
            __m512i words = _mm512_loadu_si512(at.quants + i * LINE);
            SPREAD(words, 0, 0xf, line, pairs + 2 * i * PANEL);
            SPREAD(words, 4, 0xf, line, pairs + (2 * i + LINES) * PANEL);
        }
    }
}

#else

int has_tiles(void) { return 0; }

void open_tiles(void) {}

void close_tiles(void) {}

void spread_int8_panel(const uint8_t *panel, int64_t groups, uint32_t *pairs) {
    (void)panel, (void)groups, (void)pairs;
}

void spread_int4_panel(const uint8_t *panel, int64_t groups, int64_t format, uint32_t *pairs) {
    (void)panel, (void)groups, (void)format, (void)pairs;
}

#endif

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512BF16__)

void multiply_bf16(struct left left, int64_t rows, const uint32_t *const right[2],
                   int64_t right_stride, int64_t pairs, int adding, float *const out[2],
                   int64_t out_stride) {
    if (rows > TILED_ROWS) rows = TILED_ROWS;
#if defined(__AMX_TILE__) && defined(__AMX_BF16__) && defined(__linux__)
    if (has_tiles()) {
        multiply_tiles(left, rows, right, right_stride, pairs, adding, out, out_stride);
        return;
    }
#endif
    multiply_in_vectors(left, rows, right, right_stride, pairs, adding, out, out_stride);
}

#else

void multiply_bf16(struct left left, int64_t rows, const uint32_t *const right[2],
                   int64_t right_stride, int64_t pairs, int adding, float *const out[2],
                   int64_t out_stride) {
    (void)left, (void)rows, (void)right, (void)right_stride, (void)pairs, (void)adding;
    (void)out, (void)out_stride;
}

#endif
