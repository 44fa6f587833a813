/* Activations, and what happens to them before they meet a matrix. */
#include "midfill.h"

#include <stdlib.h>

#include "scalar.h"

enum { ALIGNMENT = 64 };

int64_t stride_of(int64_t cols) { return (cols + GROUP - 1) / GROUP * GROUP; }

static void *allocate(int64_t bytes) {
    return aligned_alloc(ALIGNMENT, ((size_t)bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
}

int open_activations(int64_t most_tokens, int64_t most_cols, struct activations *x) {
    int64_t count = most_tokens * stride_of(most_cols);
    *x = (struct activations){
        .most_tokens = most_tokens,
        .values = allocate(count * (int64_t)sizeof *x->values),
        .quants = allocate(count),
        .scales = allocate(count / GROUP * (int64_t)sizeof *x->scales),
        .sums = allocate(count / GROUP * (int64_t)sizeof *x->sums),
        .rounded = allocate(count * (int64_t)sizeof *x->rounded),
    };
    return x->values && x->quants && x->scales && x->sums && x->rounded;
}

void close_activations(struct activations *x) {
    free(x->values);
    free(x->quants);
    free(x->scales);
    free(x->sums);
    free(x->rounded);
}

/* Buffers as the activations of a matrix. */
struct activations activations_for(const struct matrix *matrix, int64_t tokens,
                                   struct activations buffers) {
    buffers.tokens = tokens;
    buffers.cols = matrix->cols;
    buffers.stride = stride_of(matrix->cols);
    return buffers;
}

/* LayerNorm (Ba et al. 2016). */
static void center_and_scale(const float *x, struct norm norm, int64_t n, float *out) {
    float sum = 0, squares = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++) sum += x[i];
    float mean = sum / (float)n;
#pragma omp simd reduction(+ : squares)
    for (int64_t i = 0; i < n; i++) squares += (x[i] - mean) * (x[i] - mean);
    float scale = 1.0f / __builtin_sqrtf(squares / (float)n + norm.eps);
    for (int64_t i = 0; i < n; i++) out[i] = (x[i] - mean) * scale * norm.weight[i] + norm.bias[i];
}

/* RMSNorm (Zhang and Sennrich 2019), or LayerNorm if there is a bias. */
void normalize(const float *x, struct norm norm, int64_t n, float *out) {
    float squares = 0;
    if (norm.bias) {
        center_and_scale(x, norm, n, out);
        return;
    }
#pragma omp simd reduction(+ : squares)
    for (int64_t i = 0; i < n; i++) squares += x[i] * x[i];
    float scale = 1.0f / __builtin_sqrtf(squares / (float)n + norm.eps);
    for (int64_t i = 0; i < n; i++) out[i] = x[i] * scale * norm.weight[i];
}

/* To bytes; four of them go to `quants`, and the next four `step` bytes further on. */
static void quantize_group(const float *values, int8_t *quants, int64_t step, float *scale,
                           int32_t *sum) {
    int8_t bytes[GROUP];
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
        bytes[i] = (int8_t)quant;
        total += quant;
    }
    for (int i = 0; i < GROUP; i += QUAD, quants += step) memcpy(quants, bytes + i, QUAD);
    *scale = largest / 127.0f;
    *sum = total;
}

void quantize(const struct activations *x, int64_t token) {
    int64_t together = quads_together(x), first = token / together * together;
    int8_t *quants = x->quants + first * x->stride + token % together * QUAD;
    for (int64_t group = 0; group < x->stride / GROUP; group++) {
        int64_t at = group * x->most_tokens + token;
        quantize_group(x->values + token * x->stride + group * GROUP,
                       quants + group * GROUP * together, together * QUAD, x->scales + at,
                       x->sums + at);
    }
}

/* x * sigmoid(x), or x * (1 + tanh(y)) / 2, which is x * sigmoid(2 y); in place. */
void activate(enum activation activation, float gate[PANEL]) {
    if (activation == SILU) {
        for (int i = 0; i < PANEL; i++) gate[i] /= 1.0f + exponential(-gate[i]);
        return;
    }
    for (int i = 0; i < PANEL; i++) {
        float y = 0.79788456f * (gate[i] + 0.044715f * gate[i] * gate[i] * gate[i]);
        gate[i] /= 1.0f + exponential(-2.0f * y);
    }
}
