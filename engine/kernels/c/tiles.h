/* Products of bf16 matrices, tile by tile, with fp32 sums: in tiles of the processor (Intel AMX) where
 * it has them and the system lets us, else in vectors of pairs (AVX-512 with bf16).
 *
 * The left side lies in rows; the right side in pairs of a row's values, [pair][column], which is
 * the order of attention's packed keys and values, and of a panel once it is spread.
 */
#ifndef MIDFILL_TILES_H
#define MIDFILL_TILES_H

#include <stdint.h>

enum { TILE = 16, TILED_ROWS = 2 * TILE }; /* rows and columns of a tile; rows at once */

/* Asks the system once for the whole process; 0 where there are none. */
int has_tiles(void);
/* In tiles or in vectors. */
int has_bf16_products(void);

/* Around all products of a thread: others in the process may shape its tiles too. */
void open_tiles(void);
void close_tiles(void);

/* A panel's weights in bf16 pairs, [column / 2][row]. */
void spread_int8_panel(const uint8_t *panel, int64_t groups, uint32_t *pairs);
void spread_int4_panel(const uint8_t *panel, int64_t groups, int64_t format, uint32_t *pairs);

/* Where the left side's values are: from one row to the next, to the tile below, to the next one of
 * the same rows. */
struct left {
    const uint16_t *values;
    int64_t row, below, next;
};

/* Rows with `width` values each as they lie, and as they are packed: tile by tile. */
struct left left_rows(const uint16_t *values, int64_t width);
struct left left_packed(const uint16_t *values, int64_t width);
void pack_left(const float *row, int64_t number, int64_t width, uint16_t *packed);

/* Both of out[i] (rows, TILE) = or += left (rows, 2 pairs) times right[i] (pairs, TILE). Strides
 * count elements of a row; pairs are a multiple of TILE. Of rows, TILED_ROWS at most, whole tiles are
 * computed. */
void multiply_bf16(struct left left, int64_t rows, const uint32_t *const right[2],
                   int64_t right_stride, int64_t pairs, int adding, float *const out[2],
                   int64_t out_stride);

#endif
