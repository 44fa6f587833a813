/* Matrices times vectors, in C that compilers turn into vector code. */
#include "attention_block.h"
#include "midfill.h"
#include "scalar.h"
#include "tiles.h"

static int64_t groups_of(const struct matrix *matrix) { return (matrix->cols + GROUP - 1) / GROUP; }

int64_t panels_of(const struct matrix *matrix) { return (matrix->rows + PANEL - 1) / PANEL; }

enum { WIDE = 3072 };      /* columns, measured on Zen 4: with 2048 it is slower */
enum { WORTH_TILES = 16 }; /* tokens, measured: with fewer a panel is multiplied before it is spread */

enum form wanted_form(const struct matrix *matrix, int64_t tokens) {
    int many = tokens >= WORTH_TILES, tiled = has_tiles() && many;
    switch (matrix->format) {
        case INT8:
        case INT4:
        case INT4_EVEN:
        case INT4_NESTED: return tiled ? ROUNDED : has_fast_panels() ? QUANTS : VALUES;
        case BF16: return has_bf16_products() && many && matrix->cols % GROUP == 0 ? ROUNDED : VALUES;
        default: return VALUES;
    }
}

static const uint8_t *panel_at(const struct matrix *matrix, int64_t panel) {
    int64_t groups = groups_of(matrix), pairs = (groups + 1) / 2, bytes = groups * INT4_GROUP;
    if (matrix->format == INT8) bytes = pairs * INT8_PAIR;
    if (matrix->format == INT4_EVEN) bytes = pairs * INT4_PAIR;
    if (matrix->format == INT4_NESTED) bytes = (groups + NESTED - 1) / NESTED * INT4_EIGHT;
    return (const uint8_t *)matrix->data + panel * bytes;
}

/* One group's quants as [column][row]. */
static void spread_int8(const uint8_t *q, float out[GROUP][PANEL]) {
    for (int column = 0; column < GROUP; column++)
        for (int row = 0; row < PANEL; row++)
            out[column][row] = (float)(q[(column / 4 * PANEL + row) * 4 + column % 4] - 128);
}

static void spread_int4(const uint8_t *q, float out[GROUP][PANEL]) {
    for (int column = 0; column < GROUP / 2; column++)
        for (int row = 0; row < PANEL; row++) {
            uint8_t byte = q[(column / 4 * PANEL + row) * 4 + column % 4];
            out[column][row] = (float)(byte & 15);
            out[column + GROUP / 2][row] = (float)(byte >> 4);
        }
}

/* The nth fp16 of each row. */
static void read_halves(const uint8_t *halves, int64_t n, float out[PANEL]) {
    for (int row = 0; row < PANEL; row++)
        out[row] = from_fp16(((const uint16_t *)halves)[n * PANEL + row]);
}

/* One group's weights as [column][row]. */
static void read_group(const struct matrix *matrix, const uint8_t *panel, int64_t group,
                       float out[GROUP][PANEL]) {
    float scale[PANEL], offset[PANEL] = {0};
    if (matrix->format == INT8) {
        const uint8_t *pair = panel + group / 2 * INT8_PAIR;
        read_halves(pair, group % 2, scale);
        spread_int8(pair + 2 * PANEL * 2 + group % 2 * PANEL * GROUP, out);
    } else {
        struct int4_group at = int4_group_at(panel, group, matrix->format);
        read_halves(at.scales, 0, scale);
        if (at.offsets) read_halves(at.offsets, 0, offset);
        for (int row = 0; row < PANEL && !at.offsets; row++) offset[row] = -INT4_ZERO * scale[row];
        for (int row = 0; row < PANEL && at.factors; row++) {
            scale[row] *= at.factors[row];
            offset[row] *= at.factors[PANEL + row];
        }
        spread_int4(at.quants, out);
    }
    for (int column = 0; column < GROUP; column++)
        for (int row = 0; row < PANEL; row++)
            out[column][row] = out[column][row] * scale[row] + offset[row];
}

static void multiply_grouped(const struct matrix *matrix, const uint8_t *panel,
                             const struct activations *x, float y[MAX_TOKENS][PANEL]) {
    float weights[GROUP][PANEL];
    memset(y, 0, sizeof y[0] * (size_t)x->tokens);
    for (int64_t group = 0; group < groups_of(matrix); group++) {
        read_group(matrix, panel, group, weights);
        for (int64_t token = 0; token < x->tokens; token++) {
            const float *values = x->values + token * x->stride + group * GROUP;
            for (int column = 0; column < GROUP; column++)
                for (int row = 0; row < PANEL; row++)
                    y[token][row] += weights[column][row] * values[column];
        }
    }
}

static float dot_f32(const float *restrict weights, const float *restrict x, int64_t n) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++) sum += weights[i] * x[i];
    return sum;
}

static float dot_bf16(const uint16_t *restrict weights, const float *restrict x, int64_t n) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++) sum += from_bf16(weights[i]) * x[i];
    return sum;
}

static int64_t rows_of(struct panel panel) {
    int64_t rest = panel.matrix->rows - panel.number * PANEL;
    return rest < PANEL ? rest : PANEL;
}

static void multiply_dense(const struct matrix *matrix, int64_t panel, const struct activations *x,
                           float y[MAX_TOKENS][PANEL]) {
    int64_t first = panel * PANEL, n = matrix->cols;
    int64_t rows = rows_of((struct panel){matrix, panel});
    for (int64_t row = 0; row < rows; row++)
        for (int64_t token = 0; token < x->tokens; token++) {
            const float *values = x->values + token * x->stride;
            int64_t start = (first + row) * n;
            y[token][row] = matrix->format == BF16
                                ? dot_bf16((const uint16_t *)matrix->data + start, values, n)
                                : dot_f32((const float *)matrix->data + start, values, n);
        }
}

/* y = W x for the 16 rows of a panel; rows past the matrix's last hold anything. */
static void multiply_panel(struct panel panel, const struct activations *x,
                           float y[MAX_TOKENS][PANEL]) {
    const struct matrix *matrix = panel.matrix;
    if (matrix->format == F32 || matrix->format == BF16)
        multiply_dense(matrix, panel.number, x, y);
    else if (!has_fast_panels())
        multiply_grouped(matrix, panel_at(matrix, panel.number), x, y);
    else
        multiply_one_panel(matrix->format, panel_at(matrix, panel.number), x, y);
}

static void spread(struct panel panel, int64_t groups, uint32_t *pairs) {
    const struct matrix *matrix = panel.matrix;
    if (matrix->format == INT8)
        spread_int8_panel(panel_at(matrix, panel.number), groups, pairs);
    else if (matrix->format != BF16)
        spread_int4_panel(panel_at(matrix, panel.number), groups, matrix->format, pairs);
    else
        pack_rows((const uint16_t *)matrix->data + panel.number * PANEL * matrix->cols,
                  rows_of(panel), matrix->cols, pairs, PANEL);
}

static void multiply_tiled(const struct panel panels[2], const struct activations *x,
                           float y[FOUR][MAX_TOKENS][PANEL]) {
    int64_t pairs = x->stride / 2;
    const uint32_t *weights[] = {x->spread, x->spread + pairs * PANEL};
    spread(panels[0], x->stride / GROUP, x->spread);
    spread(panels[1], x->stride / GROUP, x->spread + pairs * PANEL);
    for (int64_t first = 0; first < x->tokens; first += TILED_ROWS) {
        float *out[] = {y[0][first], y[1][first]};
        struct left left = left_packed(x->rounded + first * x->stride, x->stride);
        multiply_bf16(left, x->tokens - first, weights, PANEL, pairs, 0, out, PANEL);
    }
}

/* One token reads the memory fastest if it comes from several places, but of short rows. */
int64_t panels_at_once(const struct matrix *matrix, int64_t tokens) {
    if (tokens > FEW_TOKENS) return 2;
    int is_wide = matrix->cols >= WIDE && matrix->format != F32 && matrix->format != BF16;
    return tokens == 1 && is_wide && has_fast_panels() ? FOUR : 1;
}

static int are_alike(const struct panel panels[FOUR], int64_t count) {
    for (int64_t i = 1; i < count; i++)
        if (panels[i].matrix->format != panels[0].matrix->format) return 0;
    return 1;
}

static void multiply_four(const struct panel panels[FOUR], const struct activations *x,
                          float y[FOUR][MAX_TOKENS][PANEL]) {
    const uint8_t *at[FOUR];
    for (int i = 0; i < FOUR; i++) at[i] = panel_at(panels[i].matrix, panels[i].number);
    multiply_four_panels(panels[0].matrix->format, at, x, y);
}

/* The panel of a matrix where it stands: in the matrix itself, or in its rest. */
static struct panel resolved(struct panel panel) {
    while (panel.matrix && panel.matrix->rest) {
        int64_t own = (panel.matrix->rows - panel.matrix->rest->rows) / PANEL;
        if (panel.number < own) break;
        panel = (struct panel){panel.matrix->rest, panel.number - own};
    }
    return panel;
}

void multiply_panels(const struct panel wanted[FOUR], int64_t count, const struct activations *x,
                     float y[FOUR][MAX_TOKENS][PANEL]) {
    struct panel panels[FOUR];
    for (int i = 0; i < FOUR; i++) panels[i] = resolved(wanted[i]);
    if (wanted_form(panels[0].matrix, x->tokens) == ROUNDED &&
        wanted_form(panels[1].matrix, x->tokens) == ROUNDED)
        multiply_tiled(panels, x, y);
    else if (count == FOUR && are_alike(panels, count))
        multiply_four(panels, x, y);
    else
        for (int64_t i = 0; i < count; i++) multiply_panel(panels[i], x, y[i]);
}

static void grouped_row(const struct matrix *matrix, int64_t row, float *out) {
    float weights[GROUP][PANEL];
    for (int64_t group = 0; group < groups_of(matrix); group++) {
        read_group(matrix, panel_at(matrix, row / PANEL), group, weights);
        int64_t rest = matrix->cols - group * GROUP;
        for (int64_t column = 0; column < GROUP && column < rest; column++)
            out[group * GROUP + column] = weights[column][row % PANEL];
    }
}

/* One row as fp32, (cols). */
void matrix_row(const struct matrix *matrix, int64_t row, float *out) {
    int64_t n = matrix->cols;
    if (matrix->format == F32) {
        memcpy(out, (const float *)matrix->data + row * n, (size_t)n * sizeof *out);
    } else if (matrix->format == BF16) {
        const uint16_t *weights = (const uint16_t *)matrix->data + row * n;
        for (int64_t i = 0; i < n; i++) out[i] = from_bf16(weights[i]);
    } else {
        grouped_row(matrix, row, out);
    }
}
