/* A decoder with its threads and buffers; one forward pass is a run of five phases a layer.
 *
 * Between phases threads share the residual stream and each phase's result. What a thread needs
 * before it multiplies (norm, merged heads, quantized activations) it computes for itself: that
 * costs less than telling others.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "midfill.h"

enum kind { QKV, ATTEND, OUT, GATE_UP, DOWN, KINDS };

struct thread {
    int64_t ready_for; /* the phase that its activations were prepared for */
    struct activations x;
    float *scratch;
};

struct session {
    struct decoder decoder;
    struct pool *pool;
    int64_t threads;
    struct thread *thread;
    float *residual, *heads, *partial, *inner; /* [token][...] */
    /* The run; atomic because a late thread may look while the next run is set up. */
    _Atomic int64_t tokens, splits, of_logits;
    struct cache cache;
    const float *cos, *sin, *hidden;
    float *logits;
};

static const struct layer *layer_of(const struct session *s, int64_t phase) {
    return s->decoder.layer + phase / KINDS;
}

static int64_t units(void *context, int64_t phase) {
    const struct session *s = context;
    const struct decoder *d = &s->decoder;
    if (phase < 0 || phase >= KINDS * d->layers) return 0;
    if (s->of_logits) return panels_of(&d->lm_head);
    const struct layer *layer = layer_of(s, phase);
    switch (phase % KINDS) {
        case QKV: return panels_of(&layer->qkv_proj);
        case ATTEND: return d->kv_heads * s->splits;
        case OUT: return panels_of(&layer->o_proj);
        case GATE_UP: return panels_of(&layer->gate_proj);
        default: return panels_of(&layer->down_proj);
    }
}

static struct attention attention_of(struct session *s, float *scratch) {
    return (struct attention){&s->decoder, s->cache, s->tokens,  s->splits, s->cos,
                              s->sin,      s->heads, s->partial, scratch};
}

/* The input of the matrix of a phase for one token, as fp32. */
static void read_input(struct session *s, int64_t phase, int64_t token, float *out) {
    const struct decoder *d = &s->decoder;
    const float *residual = s->residual + token * d->hidden;
    if (s->of_logits) {
        memcpy(out, s->hidden + token * d->hidden, sizeof *out * (size_t)d->hidden);
        return;
    }
    const struct layer *layer = layer_of(s, phase);
    struct attention attention = attention_of(s, NULL);
    switch (phase % KINDS) {
        case QKV: normalize(residual, layer->input_layernorm, d->rms_norm_eps, d->hidden, out); break;
        case OUT: merge_splits(&attention, token, out); break;
        case GATE_UP:
            normalize(residual, layer->post_attention_layernorm, d->rms_norm_eps, d->hidden, out);
            break;
        default:
            memcpy(out, s->inner + token * d->intermediate, sizeof *out * (size_t)d->intermediate);
    }
}

static void prepare(struct session *s, int64_t phase, struct thread *thread,
                    const struct matrix *matrix) {
    struct activations *x = &thread->x;
    x->tokens = s->tokens;
    x->cols = matrix->cols;
    x->stride = (x->cols + GROUP - 1) / GROUP * GROUP;
    for (int64_t token = 0; token < x->tokens; token++) {
        float *out = x->values + token * x->stride;
        read_input(s, phase, token, out);
        memset(out + x->cols, 0, sizeof *out * (size_t)(x->stride - x->cols));
    }
    if (wants_quants(matrix)) quantize(x);
}

/* What is done with a panel's result: copied to rows of `out`, or added to them. */
static void put(const struct matrix *matrix, int64_t panel, int64_t tokens, int adding,
                float y[MAX_TOKENS][PANEL], float *out) {
    int64_t first = panel * PANEL, rest = matrix->rows - first;
    for (int64_t token = 0; token < tokens; token++) {
        float *to = out + token * matrix->rows + first;
        for (int64_t row = 0; row < PANEL && row < rest; row++)
            to[row] = adding ? to[row] + y[token][row] : y[token][row];
    }
}

static void multiply(struct session *s, struct thread *thread, const struct matrix *matrix,
                     int64_t panel, int adding, float *out) {
    float y[MAX_TOKENS][PANEL];
    multiply_panel(matrix, panel, &thread->x, y);
    put(matrix, panel, s->tokens, adding, y, out);
}

static void gate(struct session *s, struct thread *thread, const struct layer *layer,
                 int64_t panel) {
    float y[MAX_TOKENS][PANEL], up[MAX_TOKENS][PANEL];
    multiply_panel(&layer->gate_proj, panel, &thread->x, y);
    multiply_panel(&layer->up_proj, panel, &thread->x, up);
    for (int64_t token = 0; token < s->tokens; token++) activate(y[token], up[token]);
    put(&layer->gate_proj, panel, s->tokens, 0, y, s->inner);
}

static void run_unit(struct session *s, int64_t phase, struct thread *thread, int64_t unit) {
    const struct layer *layer = layer_of(s, phase);
    if (s->of_logits) {
        multiply(s, thread, &s->decoder.lm_head, unit, 0, s->logits);
        return;
    }
    struct attention attention = attention_of(s, thread->scratch);
    switch (phase % KINDS) {
        case QKV: multiply(s, thread, &layer->qkv_proj, unit, 0, s->heads); break;
        case ATTEND: attend(&attention, phase / KINDS, unit / s->splits, unit % s->splits); break;
        case OUT: multiply(s, thread, &layer->o_proj, unit, 1, s->residual); break;
        case GATE_UP: gate(s, thread, layer, unit); break;
        default: multiply(s, thread, &layer->down_proj, unit, 1, s->residual);
    }
}

static const struct matrix *matrix_of(const struct session *s, int64_t phase) {
    const struct layer *layer = layer_of(s, phase);
    if (s->of_logits) return &s->decoder.lm_head;
    switch (phase % KINDS) {
        case QKV: return &layer->qkv_proj;
        case OUT: return &layer->o_proj;
        case GATE_UP: return &layer->gate_proj;
        case DOWN: return &layer->down_proj;
        default: return NULL;
    }
}

static void run(void *context, struct share share) {
    struct session *s = context;
    struct thread *thread = &s->thread[share.thread];
    const struct matrix *matrix = matrix_of(s, share.phase);
    if (matrix && thread->ready_for != share.serial) {
        prepare(s, share.phase, thread, matrix);
        thread->ready_for = share.serial;
    }
    for (int64_t unit = share.first; unit < share.end; unit++)
        run_unit(s, share.phase, thread, unit);
}

static void *allocate(size_t bytes) { return aligned_alloc(64, (bytes + 63) / 64 * 64); }

static float *allocate_floats(int64_t per_token) {
    return allocate(sizeof(float) * (size_t)(MAX_TOKENS * per_token));
}

static int open_thread(const struct decoder *d, struct thread *thread) {
    int64_t attended = d->query_heads * d->head_dim, widest = d->hidden;
    if (d->intermediate > widest) widest = d->intermediate;
    if (attended > widest) widest = attended;
    widest += GROUP;
    thread->ready_for = -1;
    thread->x.values = allocate_floats(widest);
    thread->x.scales = allocate_floats(widest / GROUP + 1);
    thread->x.sums = (int32_t *)allocate_floats(widest / GROUP + 1);
    thread->x.quants = (int8_t *)allocate_floats(widest / 4 + 1);
    thread->scratch = allocate(attention_scratch_bytes(d));
    return thread->x.values && thread->x.scales && thread->x.sums && thread->x.quants &&
           thread->scratch;
}

/* NULL if there is too little memory. */
struct session *midfill_open(const struct decoder *decoder, int64_t threads) {
    struct session *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    const struct decoder *d = &s->decoder;
    s->decoder = *decoder;
    s->threads = threads;
    s->residual = allocate_floats(d->hidden);
    s->heads = allocate_floats((d->query_heads + 2 * d->kv_heads) * d->head_dim);
    s->partial = allocate_floats(d->query_heads * MAX_SPLITS * (2 + d->head_dim));
    s->inner = allocate_floats(d->intermediate);
    s->thread = calloc((size_t)threads, sizeof *s->thread);
    int whole = s->residual && s->heads && s->partial && s->inner && s->thread;
    for (int64_t i = 0; whole && i < threads; i++) whole = open_thread(d, &s->thread[i]);
    if (whole) s->pool = pool_open(threads, (struct work){units, run, s});
    if (s->pool) return s;
    midfill_close(s);
    return NULL;
}

/* Runs up to MAX_TOKENS tokens behind the cached ones, and writes their keys and values.
 * cos, sin: (tokens, head_dim) of their positions; hidden: out, (tokens, hidden), after the norm. */
void midfill_forward(struct session *s, const int64_t *ids, int64_t tokens,
                     const struct cache *cache, const float *cos, const float *sin,
                     float *hidden) {
    const struct decoder *d = &s->decoder;
    s->tokens = tokens;
    s->splits = attention_splits(cache->length);
    s->of_logits = 0;
    s->cache = *cache;
    s->cos = cos;
    s->sin = sin;
    for (int64_t token = 0; token < tokens; token++)
        matrix_row(&d->embed_tokens, ids[token], s->residual + token * d->hidden);
    pool_run(s->pool, KINDS * d->layers);
    for (int64_t token = 0; token < tokens; token++)
        normalize(s->residual + token * d->hidden, d->norm, d->rms_norm_eps, d->hidden,
                  hidden + token * d->hidden);
}

/* Logits, (tokens, vocabulary), of up to MAX_TOKENS final hidden states (tokens, hidden). */
void midfill_logits(struct session *s, const float *hidden, int64_t tokens, float *logits) {
    s->tokens = tokens;
    s->of_logits = 1;
    s->hidden = hidden;
    s->logits = logits;
    pool_run(s->pool, 1);
}

void midfill_close(struct session *s) {
    if (s->pool) pool_close(s->pool);
    for (int64_t i = 0; s->thread && i < s->threads; i++) {
        struct thread *thread = &s->thread[i];
        free(thread->x.values);
        free(thread->x.scales);
        free(thread->x.sums);
        free(thread->x.quants);
        free(thread->scratch);
    }
    free(s->thread);
    free(s->residual);
    free(s->heads);
    free(s->partial);
    free(s->inner);
    free(s);
}
