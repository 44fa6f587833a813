/* Vectors as wide as the processor has them, one row of a panel in each lane: AVX-512 with VNNI,
 * AVX2 (also with AVX-VNNI), NEON with dot products. Elsewhere HAS_VECTORS is not defined.
 *
 * Products are of bytes, four columns at a time: weights times activations from -127 to 127, which
 * stand in every lane. Of INT8, `signed_bytes` are weights ready for dot_signed, whose sums begin
 * with `start`, where the sum of the activations is known. Of INT4, dot_small is of 0 to 15, and
 * at most QUADS of them are added up before `finish_small`.
 */
#ifndef MIDFILL_VECTORS_H
#define MIDFILL_VECTORS_H

#include <string.h>

#include "midfill.h"

enum { QUADS = GROUP / 4, LINE = 4 * PANEL }; /* LINE: bytes of four columns, all rows */

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VNNI__)

#define HAS_VECTORS
#include <immintrin.h>

enum { LANES = 16, TOGETHER = FEW_TOKENS };
typedef __m512 floats;
typedef __m512i words;

static inline floats no_floats(void) { return _mm512_setzero_ps(); }
static inline floats repeat_float(float value) { return _mm512_set1_ps(value); }
static inline floats to_floats(words values) { return _mm512_cvtepi32_ps(values); }
static inline floats times(floats a, floats b) { return _mm512_mul_ps(a, b); }
static inline floats multiply_add(floats a, floats b, floats c) { return _mm512_fmadd_ps(a, b, c); }
static inline void store_floats(float *out, floats values) { _mm512_storeu_ps(out, values); }
static inline floats load_halves(const uint8_t *values) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)values));
}
static inline floats load_bytes(const uint8_t *values) {
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)values)));
}
static inline words no_words(void) { return _mm512_setzero_si512(); }
static inline words repeat_word(int32_t value) { return _mm512_set1_epi32(value); }
static inline words load_words(const uint8_t *bytes) { return _mm512_loadu_si512(bytes); }
static inline words add_words(words a, words b) { return _mm512_add_epi32(a, b); }
static inline words low_nibbles(words both) { return _mm512_and_si512(both, _mm512_set1_epi8(15)); }
static inline words high_nibbles(words both) { return low_nibbles(_mm512_srli_epi16(both, 4)); }
static inline words dot_unsigned(words sum, words weights, words quad) {
    return _mm512_dpbusd_epi32(sum, weights, quad);
}
#define HAS_UNSIGNED_DOT

#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)

#define HAS_VECTORS
#include <immintrin.h>

enum { LANES = 8, TOGETHER = 4 };
typedef __m256 floats;
typedef __m256i words;

static inline floats no_floats(void) { return _mm256_setzero_ps(); }
static inline floats repeat_float(float value) { return _mm256_set1_ps(value); }
static inline floats to_floats(words values) { return _mm256_cvtepi32_ps(values); }
static inline floats times(floats a, floats b) { return _mm256_mul_ps(a, b); }
static inline floats multiply_add(floats a, floats b, floats c) { return _mm256_fmadd_ps(a, b, c); }
static inline void store_floats(float *out, floats values) { _mm256_storeu_ps(out, values); }
static inline floats load_halves(const uint8_t *values) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)values));
}
static inline floats load_bytes(const uint8_t *values) {
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)values)));
}
static inline words no_words(void) { return _mm256_setzero_si256(); }
static inline words repeat_word(int32_t value) { return _mm256_set1_epi32(value); }
static inline words load_words(const uint8_t *bytes) {
    return _mm256_loadu_si256((const __m256i *)bytes);
}
static inline words add_words(words a, words b) { return _mm256_add_epi32(a, b); }
static inline words low_nibbles(words both) { return _mm256_and_si256(both, _mm256_set1_epi8(15)); }
static inline words high_nibbles(words both) { return low_nibbles(_mm256_srli_epi16(both, 4)); }
#if defined(__AVXVNNI__)
static inline words dot_unsigned(words sum, words weights, words quad) {
    return _mm256_dpbusd_avx_epi32(sum, weights, quad);
}
#define HAS_UNSIGNED_DOT
#else
/* Products of bytes are added in pairs, in 16 bits, and must not overflow. */
static inline words add_pairs(words pairs) {
    return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}
struct signed_bytes {
    words values, sizes;
};
static inline struct signed_bytes to_signed(words bytes) {
    words values = _mm256_xor_si256(bytes, _mm256_set1_epi8((char)128));
    return (struct signed_bytes){values, _mm256_abs_epi8(values)};
}
static inline words start(int32_t sum) { return (void)sum, no_words(); }
static inline words dot_signed(words sum, struct signed_bytes weights, words quad) {
    words signs = _mm256_sign_epi8(quad, weights.values); /* 2 * 128 * 127 at most */
    return add_words(sum, add_pairs(_mm256_maddubs_epi16(weights.sizes, signs)));
}
static inline words dot_small(words sum, words weights, words quad) {
    return _mm256_add_epi16(sum, _mm256_maddubs_epi16(weights, quad)); /* 16 * 15 * 127 at most */
}
static inline words finish_small(words sum) { return add_pairs(sum); }
#endif

#elif defined(__aarch64__) && defined(__ARM_NEON) && defined(__ARM_FEATURE_DOTPROD)

#define HAS_VECTORS
#include <arm_neon.h>

enum { LANES = 4, TOGETHER = 4 };
typedef float32x4_t floats;
typedef int32x4_t words;

static inline floats no_floats(void) { return vdupq_n_f32(0); }
static inline floats repeat_float(float value) { return vdupq_n_f32(value); }
static inline floats to_floats(words values) { return vcvtq_f32_s32(values); }
static inline floats times(floats a, floats b) { return vmulq_f32(a, b); }
static inline floats multiply_add(floats a, floats b, floats c) { return vfmaq_f32(c, a, b); }
static inline void store_floats(float *out, floats values) { vst1q_f32(out, values); }
static inline floats load_halves(const uint8_t *values) {
    return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(values)));
}
static inline floats load_bytes(const uint8_t *values) {
    uint32_t four;
    memcpy(&four, values, sizeof four);
    uint16x8_t wide = vmovl_u8(vreinterpret_u8_u32(vdup_n_u32(four)));
    return vcvtq_f32_u32(vmovl_u16(vget_low_u16(wide)));
}
static inline words no_words(void) { return vdupq_n_s32(0); }
static inline words repeat_word(int32_t value) { return vdupq_n_s32(value); }
static inline words load_words(const uint8_t *bytes) {
    return vreinterpretq_s32_u8(vld1q_u8(bytes));
}
static inline words add_words(words a, words b) { return vaddq_s32(a, b); }
static inline words low_nibbles(words both) {
    return vreinterpretq_s32_u8(vandq_u8(vreinterpretq_u8_s32(both), vdupq_n_u8(15)));
}
static inline words high_nibbles(words both) {
    return vreinterpretq_s32_u8(vshrq_n_u8(vreinterpretq_u8_s32(both), 4));
}
struct signed_bytes {
    words values;
};
static inline struct signed_bytes to_signed(words bytes) {
    return (struct signed_bytes){veorq_s32(bytes, vdupq_n_s32((int32_t)0x80808080))};
}
static inline words start(int32_t sum) { return (void)sum, no_words(); }
static inline words dot_small(words sum, words weights, words quad) {
    return vdotq_s32(sum, vreinterpretq_s8_s32(weights), vreinterpretq_s8_s32(quad));
}
static inline words dot_signed(words sum, struct signed_bytes weights, words quad) {
    return dot_small(sum, weights.values, quad);
}
static inline words finish_small(words sum) { return sum; }

#endif

#ifdef HAS_VECTORS

enum { VECTORS = PANEL / LANES, VECTOR_BYTES = 4 * LANES };

#ifdef HAS_UNSIGNED_DOT
struct signed_bytes {
    words plus_128;
};
static inline struct signed_bytes to_signed(words bytes) { return (struct signed_bytes){bytes}; }
static inline words start(int32_t sum) { return repeat_word(-128 * sum); }
static inline words dot_signed(words sum, struct signed_bytes weights, words quad) {
    return dot_unsigned(sum, weights.plus_128, quad);
}
static inline words dot_small(words sum, words weights, words quad) {
    return dot_unsigned(sum, weights, quad);
}
static inline words finish_small(words sum) { return sum; }
#endif

static inline words broadcast_quad(const int8_t *quad) {
    int32_t four;
    memcpy(&four, quad, sizeof four);
    return repeat_word(four);
}

#endif

#endif
