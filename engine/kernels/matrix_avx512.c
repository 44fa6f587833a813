/* Quantized panels with AVX-512 VNNI: bytes times bytes, summed in 32 bits, 64 at a time.
 *
 * Lane r of each vector is row r of the panel. Weights are unsigned bytes, activations signed
 * ones, four of them broadcast to all lanes.
 */
#include "midfill.h"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VNNI__)

#include <immintrin.h>
#include <string.h>

enum { QUADS = GROUP / 4, LINE = 64, AHEAD = 32768 }; /* AHEAD: bytes, measured */

int has_fast_panels(void) { return 1; }

static inline __m512 load_fp16(const uint8_t *values) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)values));
}

static inline __m512i broadcast_quad(const int8_t *quants, int quad) {
    int32_t four;
    memcpy(&four, quants + 4 * quad, sizeof four);
    return _mm512_set1_epi32(four);
}

/* With many tokens: asks for a group's share of the bytes ahead. Each FEW_TOKENS do it for some
 * groups, so that it takes as long as the panel. With few the processor does better by itself. */
static inline void prefetch_ahead(const struct activations *x, int64_t first_token,
                                  const uint8_t *panel, int64_t group, int group_bytes) {
    uint32_t turns = (uint32_t)(x->tokens + FEW_TOKENS - 1) / FEW_TOKENS;
    if (turns == 1 || (uint32_t)group % turns != (uint32_t)first_token / FEW_TOKENS) return;
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

static inline void multiply_int8(const uint8_t *panel, const struct activations *x, int64_t first,
                                 int tokens, float y[MAX_TOKENS][PANEL]) {
    int64_t groups = x->stride / GROUP;
    __m512 sum[FEW_TOKENS];
    for (int token = 0; token < tokens; token++) sum[token] = _mm512_setzero_ps();
    for (int64_t group = 0; group < groups; group++) {
        __m512i weights[QUADS];
        const uint8_t *pair = panel + group / 2 * INT8_PAIR;
        int64_t second = group % 2;
        prefetch_ahead(x, first, panel, group, INT8_PAIR / 2);
        for (int quad = 0; quad < QUADS; quad++)
            weights[quad] = _mm512_loadu_si512(pair + (1 + second * QUADS + quad) * LINE);
        __m512 scale = load_fp16(pair + second * LINE / 2);
        for (int token = 0; token < tokens; token++) {
            int64_t at = (first + token) * groups + group;
            __m512i start = _mm512_set1_epi32(-128 * x->sums[at]);
            __m512i dot = dot_group(weights, x->quants + at * GROUP, start);
            __m512 both = _mm512_mul_ps(scale, _mm512_set1_ps(x->scales[at]));
            sum[token] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), both, sum[token]);
        }
    }
    for (int token = 0; token < tokens; token++) _mm512_storeu_ps(y[first + token], sum[token]);
}

static inline void multiply_int4(const uint8_t *panel, const struct activations *x, int64_t first,
                                 int tokens, float y[MAX_TOKENS][PANEL]) {
    int64_t groups = x->stride / GROUP;
    const __m512i low = _mm512_set1_epi8(15);
    __m512 sum[FEW_TOKENS];
    for (int token = 0; token < tokens; token++) sum[token] = _mm512_setzero_ps();
    for (int64_t group = 0; group < groups; group++) {
        __m512i weights[QUADS];
        const uint8_t *q = panel + group * INT4_GROUP;
        prefetch_ahead(x, first, panel, group, INT4_GROUP);
        for (int quad = 0; quad < QUADS / 2; quad++) {
            __m512i both = _mm512_loadu_si512(q + (1 + quad) * LINE);
            weights[quad] = _mm512_and_si512(both, low);
            weights[quad + QUADS / 2] = _mm512_and_si512(_mm512_srli_epi16(both, 4), low);
        }
        __m512 scale = load_fp16(q);
        __m512 offset = load_fp16(q + LINE / 2);
        for (int token = 0; token < tokens; token++) {
            int64_t at = (first + token) * groups + group;
            __m512i dot = dot_group(weights, x->quants + at * GROUP, _mm512_setzero_si512());
            __m512 total = _mm512_mul_ps(offset, _mm512_set1_ps((float)x->sums[at]));
            total = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), scale, total);
            sum[token] = _mm512_fmadd_ps(total, _mm512_set1_ps(x->scales[at]), sum[token]);
        }
    }
    for (int token = 0; token < tokens; token++) _mm512_storeu_ps(y[first + token], sum[token]);
}

/* A number of tokens known at compile time keeps all sums in registers. */
#define SOME(function, tokens) function(panel, x, first, tokens, y)
#define FOR_ALL_TOKENS(function)                                                 \
    for (int64_t first = 0; first < x->tokens; first += FEW_TOKENS) switch (x->tokens - first) { \
            case 1: SOME(function, 1); break;                                    \
            case 2: SOME(function, 2); break;                                    \
            case 3: SOME(function, 3); break;                                    \
            case 4: SOME(function, 4); break;                                    \
            case 5: SOME(function, 5); break;                                    \
            case 6: SOME(function, 6); break;                                    \
            case 7: SOME(function, 7); break;                                    \
            default: SOME(function, FEW_TOKENS);                                 \
        }

void multiply_int8_panel(const uint8_t *panel, const struct activations *x,
                         float y[MAX_TOKENS][PANEL]) {
    FOR_ALL_TOKENS(multiply_int8)
}

void multiply_int4_panel(const uint8_t *panel, const struct activations *x,
                         float y[MAX_TOKENS][PANEL]) {
    FOR_ALL_TOKENS(multiply_int4)
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
