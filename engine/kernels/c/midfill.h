/* Forward passes of a Llama decoder, for processors.
 *
 * Everything is fp32 between matrices. A matrix is (rows, cols), y = W x, in one of these formats:
 *   F32, BF16  rows one after another, as torch stores them;
 *   INT8       panels of 16 rows; a row's weights in groups of 32: w = scale * (q - 128);
 *   INT4       the same with w = scale * q + offset;
 *   INT4_EVEN  the same with w = scale * (q - 8);
 *   INT4_NESTED  the same with w = scale * s * q + offset * o; eight groups share scale and offset.
 * A panel is read from its first byte to its last; columns are padded to whole groups (INT8 and
 * INT4_EVEN: pairs of groups, INT4_NESTED: eights), rows to whole panels. In it:
 *   INT8  for each pair of groups fp16 scale[2][16 rows], q[2][8][16 rows][4 columns];
 *   INT4  for each group fp16 scale[16 rows], fp16 offset[16 rows], q[4][16 rows][4 columns], a
 *         byte holds columns c (low) and c + 16 (high);
 *   INT4_EVEN  for each pair of groups fp16 scale[2][16 rows], q[2][4][16 rows][4 columns];
 *   INT4_NESTED  for each eight groups fp16 scale[16 rows], fp16 offset[16 rows], of each of them
 *         the bytes s[16 rows], o[16 rows], then q[8][4][16 rows][4 columns].
 * Scales come first because they are read first: a processor that is asked for the lines of memory
 * in their order reads them a third faster.
 * With rows in the lanes of a vector nothing is ever summed across lanes.
 */
#ifndef MIDFILL_H
#define MIDFILL_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum { MAX_TOKENS = 256, PANEL = 16, GROUP = 32, MAX_SPLITS = 32 };
enum { INT8_PAIR = 2 * PANEL * (GROUP + 2), INT4_GROUP = PANEL * (GROUP / 2 + 4) }; /* bytes */
enum { INT4_PAIR = 2 * PANEL * (GROUP / 2 + 2) };
enum { NESTED = 8, INT4_EIGHT = NESTED * PANEL * (GROUP / 2 + 2) + 4 * PANEL };
enum { FOUR = 4 };       /* panels at once, at most */
enum { FEW_TOKENS = 8 }; /* a panel's sums for so many stay in registers */
enum format { F32, BF16, INT8, INT4, INT4_EVEN, INT4_NESTED };

/* Where a group's 4-bit quants, scales and, but for INT4_EVEN, offsets are; of INT4_NESTED also s,
 * and behind it o. */
struct int4_group {
    const uint8_t *quants, *scales, *offsets, *factors;
};
static inline struct int4_group int4_group_at(const uint8_t *panel, int64_t group, int64_t format) {
    if (format == INT4_EVEN) {
        const uint8_t *pair = panel + group / 2 * INT4_PAIR;
        const uint8_t *quants = pair + 4 * PANEL + group % 2 * PANEL * GROUP / 2;
        return (struct int4_group){quants, pair + group % 2 * 2 * PANEL, NULL, NULL};
    }
    if (format == INT4_NESTED) {
        const uint8_t *scales = panel + group / NESTED * INT4_EIGHT, *factors = scales + 4 * PANEL;
        const uint8_t *quants = factors + NESTED * 2 * PANEL + group % NESTED * PANEL * GROUP / 2;
        factors += group % NESTED * 2 * PANEL;
        return (struct int4_group){quants, scales, scales + 2 * PANEL, factors};
    }
    const uint8_t *scales = panel + group * INT4_GROUP;
    return (struct int4_group){scales + 4 * PANEL, scales, scales + 2 * PANEL, NULL};
}
enum { INT4_ZERO = 8 }; /* of INT4_EVEN */

/* The last rows of a matrix may be another one, in another format of panels, and then are none of
 * its own; those before them fill whole panels. */
struct matrix {
    const void *data;
    int64_t rows, cols;
    int64_t format;
    const struct matrix *rest; /* NULL: none */
};

enum activation { SILU, GELU_TANH };

/* What a family does not have is NULL, or a matrix without data. A norm with a bias is LayerNorm. */
struct layer {
    const float *input_layernorm, *post_attention_layernorm;
    struct matrix qkv_proj, o_proj, gate_proj, up_proj, down_proj;
    const float *qkv_bias, *o_bias, *gate_bias, *up_bias, *down_bias;
    const float *q_norm, *k_norm; /* of each head */
    const float *input_layernorm_bias, *post_attention_layernorm_bias;
    int64_t window; /* tokens that a token sees, itself included; 0: all */
    int64_t is_unrotated;
};

struct decoder {
    int64_t layers, hidden, intermediate, query_heads, kv_heads, head_dim;
    int64_t activation;
    float rms_norm_eps, score_scale, embedding_multiplier, residual_multiplier;
    struct matrix embed_tokens, lm_head;
    const float *norm, *norm_bias;
    const struct layer *layer;
};

/* Where keys and values are: (2, layers, kv_heads, capacity, head_dim), and how many are there.
 * A new token sees all before it, or, of those from `trunk` on, such as `seen` says: (new tokens,
 * length + new tokens - trunk), NULL or the sum of SEEN where one is seen and SEEN_IN_WINDOW where
 * one is in a layer with a window. Then `positions` are those of the new tokens in their texts. */
enum { SEEN = 1, SEEN_IN_WINDOW = 2 };
struct cache {
    void *data;
    int64_t format; /* F32 or BF16 */
    int64_t capacity, length, trunk;
    const uint8_t *seen;
    const int64_t *positions;
};

/* What a matrix is multiplied with: vectors, and what is made of them as it is wanted: groups of 32
 * signed bytes, values = scales * quants; or bf16. */
struct activations {
    int64_t tokens, most_tokens;
    int64_t cols, stride; /* cols padded to whole groups; the padding is 0 */
    float *values;        /* [token][stride] */
    int8_t *quants;       /* [token / 8][column / 4][token % 8][column % 4], see quads_together */
    float *scales;        /* [group][most_tokens] */
    int32_t *sums;        /* of the quants, likewise */
    uint16_t *rounded;    /* packed for tiles */
    uint32_t *spread;     /* a thread's, for a panel's weights in bf16 */
};
enum form { VALUES, QUANTS, ROUNDED };
enum { QUAD = 4, MOST_QUADS = 8 };

/* Tokens whose quants of four columns lie side by side; fewer than 8 do not leave gaps. */
static inline int64_t quads_together(const struct activations *x) {
    return x->tokens < MOST_QUADS ? x->tokens : MOST_QUADS;
}

/* matrix.c */
enum form wanted_form(const struct matrix *matrix, int64_t tokens);
int64_t panels_of(const struct matrix *matrix);
void matrix_row(const struct matrix *matrix, int64_t row, float *out);
struct panel {
    const struct matrix *matrix;
    int64_t number;
};
/* y[i] = W x for the rows of each panel; rows past a matrix's last hold anything. Up to FOUR; of many
 * tokens there are two, the second of one the first again. */
void multiply_panels(const struct panel panels[FOUR], int64_t count, const struct activations *x,
                     float y[FOUR][MAX_TOKENS][PANEL]);
/* How many are best multiplied at once. */
int64_t panels_at_once(const struct matrix *matrix, int64_t tokens);

/* matrix_vectors.c */
int has_fast_panels(void);
void multiply_one_panel(int64_t format, const uint8_t *panel, const struct activations *x,
                        float y[MAX_TOKENS][PANEL]);
/* Of one token. */
void multiply_four_panels(int64_t format, const uint8_t *const panels[FOUR],
                          const struct activations *x, float y[FOUR][MAX_TOKENS][PANEL]);

/* activations.c */
int64_t stride_of(int64_t cols);
int open_activations(int64_t most_tokens, int64_t most_cols, struct activations *x);
void close_activations(struct activations *x);
struct activations activations_for(const struct matrix *matrix, int64_t tokens,
                                   struct activations buffers);
struct norm {
    const float *weight, *bias;
    float eps;
};
void normalize(const float *x, struct norm norm, int64_t n, float *out);
void quantize(const struct activations *x, int64_t token);
void activate(enum activation activation, float gate[PANEL]);

/* attention.c */
struct attention {
    const struct decoder *decoder;
    struct cache cache;
    int64_t tokens, splits;
    const float *cos, *sin; /* [token][head_dim]; the first half of each sine is negated */
    const float *heads;     /* [token][queries, keys, values] */
    float *partial;         /* [token][query head][split][2 + head_dim]: maximum, sum, values */
    float *scratch;         /* of the thread, attention_scratch_bytes() */
};
int64_t attention_splits(const struct decoder *decoder, int64_t tokens, int64_t positions);
int64_t attention_units(const struct decoder *decoder, int64_t tokens, int64_t splits);
int64_t attention_states(const struct decoder *decoder); /* at most, tokens x splits */
size_t attention_scratch_bytes(const struct decoder *decoder);
void write_token(const struct attention *a, int64_t layer, int64_t token); /* many: first */
void attend(const struct attention *a, int64_t layer, int64_t unit);
void merge_splits(const struct attention *a, int64_t token, float *out);

/* pool.c */
struct pool;
struct share {
    int64_t phase, serial; /* serial: of the phase, over all runs */
    int64_t thread, first, end;
};
struct work {
    int64_t (*units)(void *context, int64_t phase); /* at most 2^24 - 1; 0 for a strange phase */
    void (*run)(void *context, struct share share);
    void *context;
};
struct pool *pool_open(int64_t threads, struct work work);
void pool_run(struct pool *pool, int64_t phases, int64_t tokens); /* tokens: how long a unit may take */
void pool_close(struct pool *pool);

/* Called from Python. */
struct session;
struct session *midfill_open(const struct decoder *decoder, int64_t threads);
int midfill_forward(struct session *session, const int64_t *ids, int64_t tokens,
                    const struct cache *cache, const float *cos, const float *sin,
                    const _Atomic int *stop, float *hidden);
void midfill_logits(struct session *session, const float *hidden, int64_t tokens, float *logits);
void midfill_close(struct session *session);

#endif
