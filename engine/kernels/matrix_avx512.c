/* Quantized panels with AVX-512 VNNI: bytes times bytes, summed in 32 bits, 64 at a time.
 *
 * Lane r of each vector is row r of the panel. Weights are unsigned bytes, activations signed
 * ones, four of them broadcast to all lanes.
 */
#include "midfill.h"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VNNI__)

#include <immintrin.h>
#include <string.h>

enum { QUADS = GROUP / 4, LINE = 64, AHEAD = 8192 }; /* AHEAD: bytes, measured */

int has_fast_panels(void) { return 1; }

static inline __m512 load_fp16(const uint16_t *values) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)values));
}

static inline __m512i broadcast_quad(const int8_t *quants, int quad) {
    int32_t four;
    memcpy(&four, quants + 4 * quad, sizeof four);
    return _mm512_set1_epi32(four);
}

/* Asks for a group's share of the bytes ahead, which are in order whatever the panel's inside. */
static inline void prefetch_ahead(const uint8_t *panel, int64_t group, int group_bytes) {
    const uint8_t *first = panel + group * group_bytes + AHEAD;
    for (int at = 0; at < group_bytes; at += LINE)
        _mm_prefetch((const char *)first + at, _MM_HINT_T0);
}

/* The sum of a group's products in each row, starting from `start`. */
static inline __m512i dot_group(const __m512i *weights, const int8_t *quants, __m512i start) {
    __m512i even = start, odd = _mm512_setzero_si512();
    for (int quad = 0; quad < QUADS; quad += 2) {
        even = _mm512_dpbusd_epi32(even, weights[quad], broadcast_quad(quants, quad));
        odd = _mm512_dpbusd_epi32(odd, weights[quad + 1], broadcast_quad(quants, quad + 1));
    }
    return _mm512_add_epi32(even, odd);
}

static inline void multiply_int8(const uint8_t *panel, const struct activations *x, int tokens,
                                 float y[MAX_TOKENS][PANEL]) {
    int64_t groups = x->stride / GROUP;
    const uint16_t *scales = (const uint16_t *)(panel + groups * PANEL * GROUP);
    __m512 sum[MAX_TOKENS];
    for (int token = 0; token < tokens; token++) sum[token] = _mm512_setzero_ps();
    for (int64_t group = 0; group < groups; group++) {
        __m512i weights[QUADS];
        prefetch_ahead(panel, group, PANEL * (GROUP + 2));
        for (int quad = 0; quad < QUADS; quad++)
            weights[quad] = _mm512_loadu_si512(panel + (group * QUADS + quad) * 64);
        __m512 scale = load_fp16(scales + group * PANEL);
        for (int token = 0; token < tokens; token++) {
            int64_t at = token * groups + group;
            __m512i start = _mm512_set1_epi32(-128 * x->sums[at]);
            __m512i dot = dot_group(weights, x->quants + at * GROUP, start);
            __m512 both = _mm512_mul_ps(scale, _mm512_set1_ps(x->scales[at]));
            sum[token] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), both, sum[token]);
        }
    }
    for (int token = 0; token < tokens; token++) _mm512_storeu_ps(y[token], sum[token]);
}

static inline void multiply_int4(const uint8_t *panel, const struct activations *x, int tokens,
                                 float y[MAX_TOKENS][PANEL]) {
    int64_t groups = x->stride / GROUP;
    const uint16_t *scales = (const uint16_t *)(panel + groups * PANEL * GROUP / 2);
    const uint16_t *offsets = scales + groups * PANEL;
    const __m512i low = _mm512_set1_epi8(15);
    __m512 sum[MAX_TOKENS];
    for (int token = 0; token < tokens; token++) sum[token] = _mm512_setzero_ps();
    for (int64_t group = 0; group < groups; group++) {
        __m512i weights[QUADS];
        prefetch_ahead(panel, group, PANEL * (GROUP / 2 + 4));
        for (int quad = 0; quad < QUADS / 2; quad++) {
            __m512i both = _mm512_loadu_si512(panel + (group * QUADS / 2 + quad) * 64);
            weights[quad] = _mm512_and_si512(both, low);
            weights[quad + QUADS / 2] = _mm512_and_si512(_mm512_srli_epi16(both, 4), low);
        }
        __m512 scale = load_fp16(scales + group * PANEL);
        __m512 offset = load_fp16(offsets + group * PANEL);
        for (int token = 0; token < tokens; token++) {
            int64_t at = token * groups + group;
            __m512i dot = dot_group(weights, x->quants + at * GROUP, _mm512_setzero_si512());
            __m512 total = _mm512_mul_ps(offset, _mm512_set1_ps((float)x->sums[at]));
            total = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), scale, total);
            sum[token] = _mm512_fmadd_ps(total, _mm512_set1_ps(x->scales[at]), sum[token]);
        }
    }
    for (int token = 0; token < tokens; token++) _mm512_storeu_ps(y[token], sum[token]);
}

/* A number of tokens known at compile time keeps all sums in registers. */
#define FOR_EACH_COUNT(function)                                    \
    switch (x->tokens) {                                            \
        case 1: function(panel, x, 1, y); break;                    \
        case 2: function(panel, x, 2, y); break;                    \
        case 3: function(panel, x, 3, y); break;                    \
        case 4: function(panel, x, 4, y); break;                    \
        case 5: function(panel, x, 5, y); break;                    \
        case 6: function(panel, x, 6, y); break;                    \
        case 7: function(panel, x, 7, y); break;                    \
        default: function(panel, x, 8, y);                          \
    }

void multiply_int8_panel(const uint8_t *panel, const struct activations *x,
                         float y[MAX_TOKENS][PANEL]) {
    FOR_EACH_COUNT(multiply_int8)
}

void multiply_int4_panel(const uint8_t *panel, const struct activations *x,
                         float y[MAX_TOKENS][PANEL]) {
    FOR_EACH_COUNT(multiply_int4)
}

#else

int has_fast_panels(void) { return 0; }

void multiply_int8_panel(const uint8_t *panel, const struct activations *x,
                         float y[MAX_TOKENS][PANEL]) {
    (void)panel, (void)x, (void)y;
}

void multiply_int4_panel(const uint8_t *panel, const struct activations *x,
                         float y[MAX_TOKENS][PANEL]) {
    (void)panel, (void)x, (void)y;
}

#endif
