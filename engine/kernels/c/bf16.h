/* Values in bf16, and pairs of them, which AVX-512's dot products take. */
#ifndef MIDFILL_BF16_H
#define MIDFILL_BF16_H

#include <stdint.h>

/* Only where the processor has such vectors; n is a multiple of 16. */
void round_to_bf16(const float *values, int64_t n, uint16_t *out);

#if defined(__AVX512BF16__)
#include <immintrin.h>
#include <string.h>

/* Two values that stand side by side, in every lane. */
static inline __m512bh broadcast_pair(const uint16_t *values) {
    int32_t both;
    memcpy(&both, values, sizeof both);
    return (__m512bh)_mm512_set1_epi32(both);
}
#endif

#endif
