/* A block of the cache against the queries of one head. */
#ifndef MIDFILL_ATTENTION_BLOCK_H
#define MIDFILL_ATTENTION_BLOCK_H

#include <stdint.h>

enum { BLOCK = 64 };              /* positions */
static const float NOTHING_YET = -1e30f; /* a maximum, or a score that weighs nothing */

void widen_bf16(const uint16_t *restrict values, int64_t n, float *restrict out);

/* The scores, (BLOCK), of one query (width) and keys (BLOCK, width); only `seen` positions count,
 * and keys past them may hold anything. */
void score(const float *query, const float *keys, int64_t seen, int64_t width, float *scores);

/* Turns scores into weights under the maximum so far, and rescales what was summed before.
 * state: maximum, sum, weighted values (width). */
void update_softmax(float *restrict scores, float *restrict state, int64_t width);

/* Adds the weighted values (BLOCK, width) to out (width). */
void add_weighted(const float *restrict weights, const float *restrict values, int64_t seen,
                  int64_t width, float *restrict out);

#endif
