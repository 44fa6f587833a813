/* Quantized panels times bytes, in the processor's vectors (vectors.h). */
#include "vectors.h"

#ifdef HAS_VECTORS

enum { AHEAD = 32768 }; /* bytes, measured */

int has_fast_panels(void) { return 1; }

/* With many tokens: asks for a group's share of the bytes ahead. Tokens that run TOGETHER do it for
 * some groups, so that it takes as long as the panel. With few the processor does better by itself.
 */
static inline void prefetch_ahead(const struct activations *x, int64_t first_token,
                                  const uint8_t *panel, int64_t group, int group_bytes) {
    uint32_t turns = (uint32_t)(x->tokens + TOGETHER - 1) / TOGETHER;
    if (turns == 1 || (uint32_t)group % turns != (uint32_t)first_token / TOGETHER) return;
    const uint8_t *first = panel + group * group_bytes + AHEAD;
    for (int at = 0; at < group_bytes; at += LINE) __builtin_prefetch(first + at);
}

/* Of some tokens, each row of the panel. */
typedef words dots[TOGETHER][VECTORS];
typedef floats sums[TOGETHER][VECTORS];

/* A group of some tokens; the quants of a line are `step` bytes from those of the next. */
struct group {
    const int8_t *quants;
    const float *scales;
    const int32_t *sums;
    int64_t step;
};

static inline struct group group_at(const struct activations *x, int64_t token, int64_t group) {
    int64_t together = quads_together(x), at = group * x->most_tokens + token;
    const int8_t *quants = x->quants + token / MOST_QUADS * MOST_QUADS * x->stride;
    quants += group * GROUP * together + token % MOST_QUADS * QUAD;
    return (struct group){quants, x->scales + at, x->sums + at, together * QUAD};
}

static inline words quad_of(struct group x, int line, int token) {
    return broadcast_quad(x.quants + line * x.step + token * QUAD);
}

static inline words line_words(const uint8_t *lines, int line, int vector) {
    return load_words(lines + line * LINE + vector * VECTOR_BYTES);
}

static inline floats line_halves(const uint8_t *halves, int vector) {
    return load_halves(halves + 2 * vector * LANES);
}

/* A group's products, line by line: each is read once, and little has to be kept in registers. */
static inline void dot_int8(const uint8_t *lines, struct group x, int tokens, dots out) {
    for (int token = 0; token < tokens; token++)
        for (int v = 0; v < VECTORS; v++) out[token][v] = start(x.sums[token]);
    for (int line = 0; line < QUADS; line++) {
        struct signed_bytes weights[VECTORS];
        for (int v = 0; v < VECTORS; v++) weights[v] = to_signed(line_words(lines, line, v));
        for (int token = 0; token < tokens; token++) {
            words quad = quad_of(x, line, token);
            for (int v = 0; v < VECTORS; v++)
                out[token][v] = dot_signed(out[token][v], weights[v], quad);
        }
    }
}

static inline void dot_int4(const uint8_t *lines, struct group x, int tokens, dots out) {
    for (int token = 0; token < tokens; token++)
        for (int v = 0; v < VECTORS; v++) out[token][v] = no_words();
    for (int line = 0; line < QUADS / 2; line++) {
        words low[VECTORS], high[VECTORS];
        for (int v = 0; v < VECTORS; v++) {
            words both = line_words(lines, line, v);
            low[v] = low_nibbles(both);
            high[v] = high_nibbles(both);
        }
        for (int token = 0; token < tokens; token++) {
            words first = quad_of(x, line, token), second = quad_of(x, line + QUADS / 2, token);
            for (int v = 0; v < VECTORS; v++)
                out[token][v] = dot_small(dot_small(out[token][v], low[v], first), high[v], second);
        }
    }
    for (int token = 0; token < tokens; token++)
        for (int v = 0; v < VECTORS; v++) out[token][v] = finish_small(out[token][v]);
}

static inline void clear(int tokens, sums out) {
    for (int token = 0; token < tokens; token++)
        for (int v = 0; v < VECTORS; v++) out[token][v] = no_floats();
}

static inline void store(sums sum, int64_t first, int tokens, float y[MAX_TOKENS][PANEL]) {
    for (int token = 0; token < tokens; token++)
        for (int v = 0; v < VECTORS; v++)
            store_floats(y[first + token] + v * LANES, sum[token][v]);
}

static inline void add_int8(const uint8_t *panel, int64_t group, struct group x, int tokens,
                            sums sum) {
    const uint8_t *pair = panel + group / 2 * INT8_PAIR;
    int64_t second = group % 2;
    dots dot;
    dot_int8(pair + (1 + second * QUADS) * LINE, x, tokens, dot);
    for (int v = 0; v < VECTORS; v++) {
        floats scale = line_halves(pair + second * LINE / 2, v);
        for (int token = 0; token < tokens; token++) {
            floats both = times(scale, repeat_float(x.scales[token]));
            sum[token][v] = multiply_add(to_floats(dot[token][v]), both, sum[token][v]);
        }
    }
}

/* Scales or offsets of a group, a vector's rows. */
static inline floats nested_halves(const uint8_t *halves, const uint8_t *factors, int vector) {
    return times(line_halves(halves, vector), load_bytes(factors + vector * LANES));
}

static inline void add_any_int4(const uint8_t *panel, int64_t group, struct group x, int tokens,
                                enum format format, sums sum) {
    struct int4_group at = int4_group_at(panel, group, format);
    dots dot;
    dot_int4(at.quants, x, tokens, dot);
    for (int v = 0; v < VECTORS; v++) {
        int is_nested = format == INT4_NESTED;
        floats scale = is_nested ? nested_halves(at.scales, at.factors, v)
                                 : line_halves(at.scales, v);
        floats offset = is_nested              ? nested_halves(at.offsets, at.factors + PANEL, v)
                        : format == INT4_EVEN ? times(scale, repeat_float(-INT4_ZERO))
                                              : line_halves(at.offsets, v);
        for (int token = 0; token < tokens; token++) {
            floats total = times(offset, repeat_float((float)x.sums[token]));
            total = multiply_add(to_floats(dot[token][v]), scale, total);
            floats factor = repeat_float(x.scales[token]);
            sum[token][v] = multiply_add(total, factor, sum[token][v]);
        }
    }
}

#define ADD_INT4(name, format)                                                                   \
    static inline void add_##name(const uint8_t *panel, int64_t group, struct group x,           \
                                  int tokens, sums sum) {                                        \
        add_any_int4(panel, group, x, tokens, format, sum);                                      \
    }
ADD_INT4(int4, INT4)
ADD_INT4(int4_even, INT4_EVEN)
ADD_INT4(int4_nested, INT4_NESTED)

/* Of a format: some tokens of one panel, and one token of four panels, whose bytes come in turn. */
#define MULTIPLY(format, group_bytes)                                                            \
    static inline void multiply_##format(const uint8_t *panel, const struct activations *x,      \
                                         int64_t first, int tokens, float y[MAX_TOKENS][PANEL]) { \
        sums sum;                                                                                \
        clear(tokens, sum);                                                                      \
        for (int64_t group = 0; group < x->stride / GROUP; group++) {                            \
            prefetch_ahead(x, first, panel, group, group_bytes);                                 \
            add_##format(panel, group, group_at(x, first, group), tokens, sum);                  \
        }                                                                                        \
        store(sum, first, tokens, y);                                                            \
    }                                                                                            \
    static void multiply_four_##format(const uint8_t *const panels[FOUR],                        \
                                       const struct activations *x,                              \
                                       float y[FOUR][MAX_TOKENS][PANEL]) {                       \
        sums sum[FOUR];                                                                          \
        for (int i = 0; i < FOUR; i++) clear(1, sum[i]);                                         \
        for (int64_t group = 0; group < x->stride / GROUP; group++) {                            \
            struct group at = group_at(x, 0, group);                                             \
            for (int i = 0; i < FOUR; i++) add_##format(panels[i], group, at, 1, sum[i]);        \
        }                                                                                        \
        for (int i = 0; i < FOUR; i++) store(sum[i], 0, 1, y[i]);                                \
    }
MULTIPLY(int8, INT8_PAIR / 2)
MULTIPLY(int4, INT4_GROUP)
MULTIPLY(int4_even, INT4_PAIR / 2)
MULTIPLY(int4_nested, INT4_EIGHT / NESTED)

void multiply_four_panels(int64_t format, const uint8_t *const panels[FOUR],
                          const struct activations *x, float y[FOUR][MAX_TOKENS][PANEL]) {
    switch (format) {
        case INT8: multiply_four_int8(panels, x, y); break;
        case INT4: multiply_four_int4(panels, x, y); break;
        case INT4_EVEN: multiply_four_int4_even(panels, x, y); break;
        default: multiply_four_int4_nested(panels, x, y);
    }
}

/* A number of tokens known at compile time keeps all sums in registers. */
#define SOME(function, tokens) function(panel, x, first, tokens < TOGETHER ? tokens : TOGETHER, y)
#define FOR_ALL_TOKENS(function)                                                                  \
    for (int64_t first = 0; first < x->tokens; first += TOGETHER)                                 \
        switch (x->tokens - first) {                                                              \
            case 1: SOME(function, 1); break;                                                     \
            case 2: SOME(function, 2); break;                                                     \
            case 3: SOME(function, 3); break;                                                     \
            case 4: SOME(function, 4); break;                                                     \
            case 5: SOME(function, 5); break;                                                     \
            case 6: SOME(function, 6); break;                                                     \
            case 7: SOME(function, 7); break;                                                     \
            default: SOME(function, TOGETHER);                                                    \
        }

void multiply_one_panel(int64_t format, const uint8_t *panel, const struct activations *x,
                        float y[MAX_TOKENS][PANEL]) {
    switch (format) {
        case INT8: FOR_ALL_TOKENS(multiply_int8) break;
        case INT4: FOR_ALL_TOKENS(multiply_int4) break;
        case INT4_EVEN: FOR_ALL_TOKENS(multiply_int4_even) break;
        default: FOR_ALL_TOKENS(multiply_int4_nested)
    }
}

#else

int has_fast_panels(void) { return 0; }

void multiply_one_panel(int64_t format, const uint8_t *panel, const struct activations *x,
                        float y[MAX_TOKENS][PANEL]) {
    (void)format, (void)panel, (void)x, (void)y;
}

void multiply_four_panels(int64_t format, const uint8_t *const panels[FOUR],
                          const struct activations *x, float y[FOUR][MAX_TOKENS][PANEL]) {
    (void)format, (void)panels, (void)x, (void)y;
}

#endif
