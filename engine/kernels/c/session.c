/* A decoder with its threads and buffers; one forward pass is a run of some phases a layer.
 *
 * Between phases threads share the residual stream and each phase's result. What they need before
 * they multiply (norm, merged heads, quantized activations) each thread computes for itself if the
 * tokens are few: that costs less than telling others. If they are many, it is a phase of its own.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "midfill.h"
#include "tiles.h"

enum kind { QKV, ATTEND, OUT, GATE_UP, DOWN, LOGITS, INPUT }; /* INPUT + X: of X, in many */

struct plan {
    int64_t count;
    int kinds[10];
};
static const struct plan few_tokens = {5, {QKV, ATTEND, OUT, GATE_UP, DOWN}};
static const struct plan many_tokens = {
    10,
    {INPUT + QKV, QKV, INPUT + ATTEND, ATTEND, INPUT + OUT, OUT, INPUT + GATE_UP, GATE_UP,
     INPUT + DOWN, DOWN}};
static const struct plan few_logits = {1, {LOGITS}};
static const struct plan many_logits = {2, {INPUT + LOGITS, LOGITS}};

struct thread {
    int64_t ready_for; /* the phase that its activations were prepared for */
    struct activations x;
    float *scratch;
    uint32_t *spread;
};

struct session {
    struct decoder decoder;
    struct pool *pool;
    int64_t threads;
    struct thread *thread;
    struct activations shared;                 /* of many tokens */
    float *residual, *heads, *partial, *inner; /* [token][...] */
    /* The run; atomic because a late thread may look while the next run is set up. */
    const struct plan *_Atomic plan;
    _Atomic int64_t tokens, splits;
    struct cache cache;
    const float *cos, *sin, *hidden;
    float *logits;
    const _Atomic int *stop; /* not 0: the run is given up; NULL: it never is */
};

/* A phase: what is done with which layer. */
struct step {
    int kind;
    int64_t index;
    const struct layer *layer;
};

static struct step step_at(const struct session *s, const struct plan *plan, int64_t phase) {
    int64_t index = phase / plan->count;
    return (struct step){plan->kinds[phase % plan->count], index, s->decoder.layer + index};
}

/* What is multiplied in a phase, or prepared for the next; NULL if nothing is. Gate and up have
 * the same shape. */
static const struct matrix *matrix_of(const struct session *s, struct step step) {
    switch (step.kind % INPUT) {
        case QKV: return &step.layer->qkv_proj;
        case OUT: return &step.layer->o_proj;
        case GATE_UP: return &step.layer->gate_proj;
        case DOWN: return &step.layer->down_proj;
        case LOGITS: return &s->decoder.lm_head;
        default: return NULL;
    }
}

static int has_gate(const struct layer *layer) { return layer->up_proj.data != NULL; }

/* Panels of a matrix in a unit; those of gate and up share what is best. */
static int64_t panels_of_unit(const struct session *s, struct step step) {
    int64_t at_once = panels_at_once(matrix_of(s, step), s->tokens);
    return step.kind == GATE_UP && has_gate(step.layer) ? (at_once + 1) / 2 : at_once;
}

static int64_t units(void *context, int64_t phase) {
    const struct session *s = context;
    const struct plan *plan = s->plan;
    if (phase < 0 || phase >= plan->count * s->decoder.layers) return 0;
    struct step step = step_at(s, plan, phase);
    if (step.kind >= INPUT) return s->tokens;
    if (step.kind == ATTEND) return attention_units(&s->decoder, s->tokens, s->splits);
    int64_t panels = panels_of(matrix_of(s, step)), at_once = panels_of_unit(s, step);
    return (panels + at_once - 1) / at_once;
}

static struct attention attention_of(struct session *s, float *scratch) {
    return (struct attention){&s->decoder, s->cache, s->tokens,  s->splits, s->cos,
                              s->sin,      s->heads, s->partial, scratch};
}

static struct norm input_norm(const struct decoder *d, const struct layer *layer) {
    return (struct norm){layer->input_layernorm, layer->input_layernorm_bias, d->rms_norm_eps};
}

static struct norm post_norm(const struct decoder *d, const struct layer *layer) {
    return (struct norm){layer->post_attention_layernorm, layer->post_attention_layernorm_bias,
                         d->rms_norm_eps};
}

/* The input of the matrix of a phase for one token, as fp32. */
static void read_input(struct session *s, struct step step, int64_t token, float *out) {
    const struct decoder *d = &s->decoder;
    const float *residual = s->residual + token * d->hidden;
    struct attention attention = attention_of(s, NULL);
    switch (step.kind % INPUT) {
        case QKV: normalize(residual, input_norm(d, step.layer), d->hidden, out); break;
        case OUT: merge_splits(&attention, token, out); break;
        case GATE_UP: normalize(residual, post_norm(d, step.layer), d->hidden, out); break;
        case DOWN:
            memcpy(out, s->inner + token * d->intermediate, sizeof *out * (size_t)d->intermediate);
            break;
        default: memcpy(out, s->hidden + token * d->hidden, sizeof *out * (size_t)d->hidden);
    }
}

static void prepare(struct session *s, struct step step, const struct activations *x,
                    int64_t token) {
    const struct matrix *matrix = matrix_of(s, step);
    float *out = x->values + token * x->stride;
    read_input(s, step, token, out);
    memset(out + x->cols, 0, sizeof *out * (size_t)(x->stride - x->cols));
    switch (wanted_form(matrix, x->tokens)) {
        case QUANTS: quantize(x, token); break;
        case ROUNDED: pack_left(out, token, x->stride, x->rounded); break;
        case VALUES: break;
    }
}

/* Where results go: rows of `out`, to which they are copied or, `times` as large, added. */
struct target {
    const float *bias; /* added to each token's results first; NULL: none */
    int adding;
    float times, *out;
};

static void put(const struct matrix *matrix, int64_t panel, int64_t tokens, struct target target,
                float y[MAX_TOKENS][PANEL]) {
    int64_t first = panel * PANEL, rest = matrix->rows - first;
    for (int64_t token = 0; token < tokens; token++) {
        float *to = target.out + token * matrix->rows + first;
        for (int64_t row = 0; row < PANEL && row < rest; row++)
            to[row] = target.adding ? to[row] + target.times * y[token][row] : y[token][row];
    }
}

static int64_t at_most(int64_t count, int64_t most) { return count < most ? count : most; }

static void add_bias(const float *bias, int64_t panel, int64_t rows, int64_t tokens,
                     float y[MAX_TOKENS][PANEL]) {
    int64_t first = panel * PANEL, rest = rows - first;
    for (int64_t token = 0; token < tokens; token++)
        for (int64_t row = 0; row < PANEL && row < rest; row++) y[token][row] += bias[first + row];
}

/* y = W x for the panels of a unit; returns how many there are. */
static int64_t multiply_unit(const struct matrix *matrix, const struct activations *x,
                             int64_t unit, float y[FOUR][MAX_TOKENS][PANEL]) {
    int64_t at_once = panels_at_once(matrix, x->tokens), first = unit * at_once;
    int64_t count = at_most(panels_of(matrix) - first, at_once);
    struct panel panels[FOUR];
    for (int64_t i = 0; i < FOUR; i++)
        panels[i] = (struct panel){matrix, first + at_most(i, count - 1)};
    multiply_panels(panels, count, x, y);
    return count;
}

static void multiply(const struct matrix *matrix, const struct activations *x, int64_t unit,
                     struct target target) {
    float y[FOUR][MAX_TOKENS][PANEL];
    int64_t first = unit * panels_at_once(matrix, x->tokens);
    int64_t count = multiply_unit(matrix, x, unit, y);
    for (int64_t i = 0; i < count; i++) {
        if (target.bias) add_bias(target.bias, first + i, matrix->rows, x->tokens, y[i]);
        put(matrix, first + i, x->tokens, target, y[i]);
    }
}

static void activate_panel(const struct session *s, const struct layer *layer, int64_t panel,
                           float gate[MAX_TOKENS][PANEL], float up[MAX_TOKENS][PANEL]) {
    const struct matrix *gates = &layer->gate_proj;
    if (layer->gate_bias) add_bias(layer->gate_bias, panel, gates->rows, s->tokens, gate);
    if (up && layer->up_bias) add_bias(layer->up_bias, panel, gates->rows, s->tokens, up);
    for (int64_t token = 0; token < s->tokens; token++) {
        activate(s->decoder.activation, gate[token]);
        for (int64_t row = 0; up && row < PANEL; row++) gate[token][row] *= up[token][row];
    }
    put(gates, panel, s->tokens, (struct target){.out = s->inner}, gate);
}

/* The inner values of a feed-forward layer (Shazeer 2020). */
static void gate(const struct session *s, const struct layer *layer, const struct activations *x,
                 int64_t unit) {
    float y[FOUR][MAX_TOKENS][PANEL];
    const struct matrix *gates = &layer->gate_proj, *ups = &layer->up_proj;
    int64_t at_once = (panels_at_once(gates, x->tokens) + 1) / 2, first = unit * at_once;
    int64_t count = at_most(panels_of(gates) - first, at_once);
    struct panel panels[FOUR] = {{gates, first}, {ups, first}};
    if (count == 2) panels[2] = (struct panel){gates, first + 1};
    if (count == 2) panels[3] = (struct panel){ups, first + 1};
    multiply_panels(panels, 2 * count, x, y);
    for (int64_t i = 0; i < count; i++)
        activate_panel(s, layer, first + i, y[2 * i], y[2 * i + 1]);
}

/* The same where nothing but the activation comes between two matrices. */
static void activate_unit(const struct session *s, const struct layer *layer,
                          const struct activations *x, int64_t unit) {
    float y[FOUR][MAX_TOKENS][PANEL];
    const struct matrix *matrix = &layer->gate_proj;
    int64_t first = unit * panels_at_once(matrix, x->tokens);
    int64_t count = multiply_unit(matrix, x, unit, y);
    for (int64_t i = 0; i < count; i++) activate_panel(s, layer, first + i, y[i], NULL);
}

static void run_unit(struct session *s, struct step step, const struct activations *x,
                     float *scratch, int64_t unit) {
    const struct layer *layer = step.layer;
    struct attention attention = attention_of(s, scratch);
    struct target residual = {NULL, 1, s->decoder.residual_multiplier, s->residual};
    switch (step.kind) {
        case QKV:
            multiply(&layer->qkv_proj, x, unit, (struct target){layer->qkv_bias, .out = s->heads});
            break;
        case ATTEND: attend(&attention, step.index, unit); break;
        case OUT:
            residual.bias = layer->o_bias;
            multiply(&layer->o_proj, x, unit, residual);
            break;
        case GATE_UP: (has_gate(layer) ? gate : activate_unit)(s, layer, x, unit); break;
        case DOWN:
            residual.bias = layer->down_bias;
            multiply(&layer->down_proj, x, unit, residual);
            break;
        case LOGITS:
            multiply(&s->decoder.lm_head, x, unit, (struct target){.out = s->logits});
            break;
        case INPUT + ATTEND: write_token(&attention, step.index, unit); break;
        default: prepare(s, step, x, unit);
    }
}

static void run(void *context, struct share share) {
    struct session *s = context;
    if (s->stop && *s->stop) return;
    struct thread *thread = &s->thread[share.thread];
    struct step step = step_at(s, s->plan, share.phase);
    const struct matrix *matrix = matrix_of(s, step);
    int few = s->tokens <= FEW_TOKENS;
    struct activations x = {0};
    if (matrix) x = activations_for(matrix, s->tokens, few ? thread->x : s->shared);
    if (matrix && few && thread->ready_for != share.serial) {
        for (int64_t token = 0; token < s->tokens; token++) prepare(s, step, &x, token);
        thread->ready_for = share.serial;
    }
    x.spread = thread->spread;
    int tiled = has_tiles() && (!few || step.kind == ATTEND);
    if (tiled) open_tiles();
    for (int64_t unit = share.first; unit < share.end; unit++)
        run_unit(s, step, &x, thread->scratch, unit);
    if (tiled) close_tiles();
}

static void *allocate(int64_t bytes) { return aligned_alloc(64, ((size_t)bytes + 63) / 64 * 64); }

static float *allocate_floats(int64_t count) { return allocate(count * (int64_t)sizeof(float)); }

static int64_t most_cols(const struct decoder *d) {
    int64_t attended = d->query_heads * d->head_dim, widest = d->hidden;
    if (d->intermediate > widest) widest = d->intermediate;
    return attended > widest ? attended : widest;
}

static int open_thread(const struct decoder *d, struct thread *thread) {
    thread->ready_for = -1;
    thread->scratch = allocate((int64_t)attention_scratch_bytes(d));
    thread->spread = allocate(2 * stride_of(most_cols(d)) * PANEL * (int64_t)sizeof(uint16_t));
    return open_activations(FEW_TOKENS, most_cols(d), &thread->x) && thread->scratch &&
           thread->spread;
}

/* NULL if there is too little memory. */
struct session *midfill_open(const struct decoder *decoder, int64_t threads) {
    struct session *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    const struct decoder *d = &s->decoder;
    s->decoder = *decoder;
    s->plan = &few_tokens;
    s->threads = threads;
    s->residual = allocate_floats(MAX_TOKENS * d->hidden);
    s->heads = allocate_floats(MAX_TOKENS * (d->query_heads + 2 * d->kv_heads) * d->head_dim);
    s->partial = allocate_floats(attention_states(d) * d->query_heads * (2 + d->head_dim));
    s->inner = allocate_floats(MAX_TOKENS * d->intermediate);
    s->thread = calloc((size_t)threads, sizeof *s->thread);
    int whole = open_activations(MAX_TOKENS, most_cols(d), &s->shared) && s->residual && s->heads &&
                s->partial && s->inner && s->thread;
    for (int64_t i = 0; whole && i < threads; i++) whole = open_thread(d, &s->thread[i]);
    if (whole) s->pool = pool_open(threads, (struct work){units, run, s});
    if (s->pool) return s;
    midfill_close(s);
    return NULL;
}

/* Runs up to MAX_TOKENS tokens behind the cached ones, and writes their keys and values; 0 if it
 * was stopped before the end, and what it wrote is worth nothing.
 * cos, sin: (tokens, head_dim) of their positions; hidden: out, (tokens, hidden), after the norm. */
int midfill_forward(struct session *s, const int64_t *ids, int64_t tokens,
                    const struct cache *cache, const float *cos, const float *sin,
                    const _Atomic int *stop, float *hidden) {
    const struct decoder *d = &s->decoder;
    struct norm norm = {d->norm, d->norm_bias, d->rms_norm_eps};
    s->plan = tokens <= FEW_TOKENS ? &few_tokens : &many_tokens;
    s->tokens = tokens;
    s->splits = attention_splits(d, tokens, cache->length);
    s->cache = *cache;
    s->cos = cos;
    s->sin = sin;
    s->stop = stop;
    for (int64_t token = 0; token < tokens; token++)
        matrix_row(&d->embed_tokens, ids[token], s->residual + token * d->hidden);
    for (int64_t i = 0; i < tokens * d->hidden; i++) s->residual[i] *= d->embedding_multiplier;
    pool_run(s->pool, s->plan->count * d->layers, tokens);
    if (stop && *stop) return 0;
    for (int64_t token = 0; token < tokens; token++)
        normalize(s->residual + token * d->hidden, norm, d->hidden, hidden + token * d->hidden);
    return 1;
}

/* Logits, (tokens, vocabulary), of up to MAX_TOKENS final hidden states (tokens, hidden). */
void midfill_logits(struct session *s, const float *hidden, int64_t tokens, float *logits) {
    s->plan = tokens <= FEW_TOKENS ? &few_logits : &many_logits;
    s->tokens = tokens;
    s->hidden = hidden;
    s->logits = logits;
    s->stop = NULL;
    pool_run(s->pool, s->plan->count, tokens);
}

void midfill_close(struct session *s) {
    if (s->pool) pool_close(s->pool);
    for (int64_t i = 0; s->thread && i < s->threads; i++) {
        close_activations(&s->thread[i].x);
        free(s->thread[i].scratch);
        free(s->thread[i].spread);
    }
    close_activations(&s->shared);
    free(s->thread);
    free(s->residual);
    free(s->heads);
    free(s->partial);
    free(s->inner);
    free(s);
}
