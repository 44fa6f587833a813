/* A block of the cache against the queries of one head. */
#ifndef MIDFILL_ATTENTION_BLOCK_H
#define MIDFILL_ATTENTION_BLOCK_H

#include <stdint.h>

enum { BLOCK = 64, PACKED_ROWS = 64 }; /* positions; queries at once */
static const float NOTHING_YET = -1e30f; /* a maximum, or a score that weighs nothing */

void widen_bf16(const uint16_t *restrict values, int64_t n, float *restrict out);

/* The scores, (BLOCK), of one query (width) and keys (BLOCK, width); only `seen` positions count
 * and keys past them may hold anything. */
void score(const float *query, const float *keys, int64_t seen, int64_t width, float *scores);

/* Of a query, over the positions so far; its weighted values stand elsewhere. */
struct softmax {
    float maximum, sum;
};

/* Turns scores into weights under the maximum so far, and rescales what was summed before. */
void update_softmax(float *restrict scores, struct softmax *softmax, float *restrict outputs,
                    int64_t width);

/* Adds the weighted values (BLOCK, width) to out (width). */
void add_weighted(const float *restrict weights, const float *restrict values, int64_t seen,
                  int64_t width, float *restrict out);

/* The same with AVX-512, where the processor has it: all in bf16, several queries at once. */
int has_fast_attention(int64_t width);

/* Scores (rows, BLOCK) of `count` keys; those behind are of the last one again. */
void score_rows(const uint16_t *queries, int64_t rows, const uint16_t *keys, int64_t count,
                int64_t width, float *scores);

/* For many queries, in pairs for the dot product: keys (or a matrix's rows) beside each other,
 * [width / 2][rows], and values, [BLOCK / 2][width]. Past `count` the last one stands again. */
void pack_rows(const uint16_t *values, int64_t count, int64_t width, uint32_t *packed,
               int64_t rows);
void pack_values(const uint16_t *values, int64_t count, int64_t width, uint32_t *packed);

/* Up to PACKED_ROWS products, out (rows, width) = or += left (rows, 2 pairs) times packed
 * (pairs, width); width is a multiple of BLOCK. Rows behind the last are computed too, up to a
 * multiple of 16. */
void multiply_packed(const uint16_t *left, int64_t rows, int64_t pairs, const uint32_t *packed,
                     int64_t width, int adding, float *out);

/* As update_softmax for one row of which `seen` scores count; weights (BLOCK) in bf16. */
void weigh_row(const float *scores, int64_t seen, struct softmax *softmax, float *outputs,
               int64_t width, uint16_t *weights);

/* Adds to out (rows, width); weights (rows, BLOCK) past `count` must be 0. */
void add_weighted_rows(const uint16_t *weights, int64_t rows, const uint16_t *values,
                       int64_t count, int64_t width, float *out);

#endif
