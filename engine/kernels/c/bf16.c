/* Rounding to bf16, to the nearest and ties to even, as the processor does it. */
#include "bf16.h"

#if defined(__AVX512F__) && defined(__AVX512BF16__)

#include <immintrin.h>

enum { LANES = 16 };

void round_to_bf16(const float *values, int64_t n, uint16_t *out) {
    for (int64_t i = 0; i < n; i += LANES)
        _mm256_storeu_si256((__m256i *)(out + i),
                            (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(values + i)));
}

#else

void round_to_bf16(const float *values, int64_t n, uint16_t *out) {
    (void)values, (void)n, (void)out;
}

#endif
