#define _GNU_SOURCE
#include "tiles.h"

#include "midfill.h"

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

/* Tiles 0 to 3 are sums, 4 is the right side, 5 to 7 are the left one in turn. */
#define START(i)                                                        \
    if (tiles > i && adding)                                            \
        _tile_loadd(i, out + i * TILE * out_stride, out_stride * 4);    \
    else if (tiles > i)                                                 \
    _tile_zero(i)
#define MULTIPLY(i, side)                                                                  \
    if (tiles > i) {                                                                       \
        _tile_loadd(side, left + i * TILE * left_stride + 2 * pair, left_stride * 2);      \
        _tile_dpbf16ps(i, side, 4);                                                        \
    }
#define STORE(i) \
    if (tiles > i) _tile_stored(i, out + i * TILE * out_stride, out_stride * 4)

void multiply_tiles(const uint16_t *left, int64_t left_stride, int64_t rows, const uint32_t *right,
                    int64_t right_stride, int64_t pairs, int adding, float *out,
                    int64_t out_stride) {
    int64_t tiles = (rows + TILE - 1) / TILE;
    START(0);
    START(1);
    START(2);
    START(3);
    for (int64_t pair = 0; pair < pairs; pair += TILE) {
        _tile_loadd(4, right + pair * right_stride, right_stride * 4);
        MULTIPLY(0, 5)
        MULTIPLY(1, 6)
        MULTIPLY(2, 7)
        MULTIPLY(3, 5)
    }
    STORE(0);
    STORE(1);
    STORE(2);
    STORE(3);
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

static inline struct line line_of(const uint8_t *scales, __m512 offset, float zero) {
    __m512 scale = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)scales));
    return (struct line){scale, _mm512_fmadd_ps(scale, _mm512_set1_ps(-256.0f - zero), offset)};
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
        struct line line = line_of(pair + group % 2 * LINE / 2, _mm512_setzero_ps(), 128);
        const uint8_t *quants = pair + (1 + group % 2 * LINES) * LINE;
        for (int i = 0; i < LINES; i++) {
            __m512i words = _mm512_loadu_si512(quants + i * LINE);
            SPREAD(words, 0, 0xff, line, pairs + 2 * i * PANEL);
        }
    }
}

void spread_int4_panel(const uint8_t *panel, int64_t groups, uint32_t *pairs) {
    for (int64_t group = 0; group < groups; group++, pairs += GROUP / 2 * PANEL) {
        const uint8_t *halves = panel + group * INT4_GROUP;
        __m512 offset = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(halves + LINE / 2)));
        struct line line = line_of(halves, offset, 0);
        for (int i = 0; i < LINES / 2; i++) {
            __m512i words = _mm512_loadu_si512(halves + (1 + i) * LINE);
            SPREAD(words, 0, 0xf, line, pairs + 2 * i * PANEL);
            SPREAD(words, 4, 0xf, line, pairs + (2 * i + LINES) * PANEL);
        }
    }
}

#else

int has_tiles(void) { return 0; }

void open_tiles(void) {}

void close_tiles(void) {}

void multiply_tiles(const uint16_t *left, int64_t left_stride, int64_t rows, const uint32_t *right,
                    int64_t right_stride, int64_t pairs, int adding, float *out,
                    int64_t out_stride) {
    (void)left, (void)left_stride, (void)rows, (void)right, (void)right_stride, (void)pairs;
    (void)adding, (void)out, (void)out_stride;
}

void spread_int8_panel(const uint8_t *panel, int64_t groups, uint32_t *pairs) {
    (void)panel, (void)groups, (void)pairs;
}

void spread_int4_panel(const uint8_t *panel, int64_t groups, uint32_t *pairs) {
    (void)panel, (void)groups, (void)pairs;
}

#endif
