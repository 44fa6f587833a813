/* What happens to activations before they meet a matrix. */
#include "midfill.h"
#include "scalar.h"

/* RMSNorm (Zhang and Sennrich 2019). */
void normalize(const float *x, const float *weight, float eps, int64_t n, float *out) {
    float squares = 0;
#pragma omp simd reduction(+ : squares)
    for (int64_t i = 0; i < n; i++) squares += x[i] * x[i];
    float scale = 1.0f / __builtin_sqrtf(squares / (float)n + eps);
    for (int64_t i = 0; i < n; i++) out[i] = x[i] * scale * weight[i];
}

static void quantize_group(const float *values, int8_t *quants, float *scale, int32_t *sum) {
    float largest = 0;
#pragma omp simd reduction(max : largest)
    for (int i = 0; i < GROUP; i++) {
        float size = __builtin_fabsf(values[i]);
        largest = size > largest ? size : largest;
    }
    float inverse = largest > 0 ? 127.0f / largest : 0.0f;
    int32_t total = 0;
#pragma omp simd reduction(+ : total)
    for (int i = 0; i < GROUP; i++) {
        int32_t quant = (int32_t)__builtin_rintf(values[i] * inverse);
        quants[i] = (int8_t)quant;
        total += quant;
    }
    *scale = largest / 127.0f;
    *sum = total;
}

void quantize(const struct activations *x, int64_t token) {
    int64_t groups = x->stride / GROUP;
    for (int64_t g = token * groups; g < (token + 1) * groups; g++)
        quantize_group(x->values + g * GROUP, x->quants + g * GROUP, x->scales + g, x->sums + g);
}

/* silu(gate) * up (SwiGLU, Shazeer 2020), in place of the gate. */
void activate(float gate[PANEL], const float up[PANEL]) {
    for (int i = 0; i < PANEL; i++) gate[i] *= up[i] / (1.0f + exponential(-gate[i]));
}
