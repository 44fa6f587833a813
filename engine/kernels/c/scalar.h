/* Small functions on single numbers that compilers turn into vector code. */
#ifndef MIDFILL_SCALAR_H
#define MIDFILL_SCALAR_H

#include <stdint.h>
#include <string.h>

union bits {
    uint32_t u;
    float f;
};

static inline float from_bf16(uint16_t value) {
    union bits bits = {(uint32_t)value << 16};
    return bits.f;
}

/* Rounds to nearest, ties to even, as torch does. */
static inline uint16_t to_bf16(float value) {
    union bits bits = {.f = value};
    if (value != value) return 0x7fc0;
    return (uint16_t)((bits.u + 0x7fff + ((bits.u >> 16) & 1)) >> 16);
}

static inline float from_fp16(uint16_t value) {
    _Float16 half;
    memcpy(&half, &value, sizeof half);
    return (float)half;
}

/* e^x to a few units in the last place; 0 below -87, merely huge above 88. Cody-Waite reduction, then the
 * Taylor series up to x^6 / 720 on half an octave to each side (error under 2e-7). */
static inline float exponential(float x) {
    float n = __builtin_rintf(x * 1.44269504f);
    float r = x - n * 0.693359375f + n * 2.12194440e-4f;
    float p = 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    float clamped = n < -126.0f ? -126.0f : n > 127.0f ? 127.0f : n;
    union bits scale = {(uint32_t)((int32_t)clamped + 127) << 23};
    return x < -87.0f ? 0.0f : p * scale.f;
}

#endif
