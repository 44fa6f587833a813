/* Grouped-query attention of new tokens over the whole cache.
 *
 * Of a few tokens the cache is split along its positions, so that threads can share one head; each
 * split keeps maximum, sum and weighted values (online softmax, Milakov and Gimelshein 2018), and
 * whoever needs the result merges them. The split with the last positions rotates and writes the new
 * keys and values first: nobody else reads them. Of many tokens the tokens are split, once all keys
 * and values are written.
 */
#include "attention_block.h"
#include "bf16.h"
#include "midfill.h"
#include "scalar.h"

enum { SPLIT_POSITIONS = 256 };
enum { MANY_UNITS = 16 };             /* shares of a layer's work that are enough */
enum { LEAST_ROWS = 48, MOST_ROWS = 192 }; /* of a share of many tokens */
enum { LINE = 64 };
enum { WORTH_PACKING = 24 }; /* rows, measured */
enum { ROUND = 16 };         /* rows are computed in so many */

/* Of a thread, for one head: rows are the queries of its share's tokens. */
struct scratch {
    float *queries; /* [row][head_dim], rotated and scaled */
    float *loaded;  /* [BLOCK][head_dim], keys or values */
    float *weights; /* [row][BLOCK] */
    float *outputs; /* [row][head_dim] */
    struct softmax *softmax;                     /* [row] */
    uint16_t *rounded_queries, *rounded_weights; /* the same in bf16 */
    uint32_t *packed; /* keys or values in bf16 pairs, where `loaded` would be */
};

/* What is computed at once: some tokens of a head, and which of the cache's positions. */
struct span {
    int64_t layer, kv_head, split, first_token, tokens, rows;
};

struct block {
    int64_t first, end;
};

static int64_t queries_per_kv_head(const struct decoder *d) { return d->query_heads / d->kv_heads; }

static int64_t heads_per_token(const struct decoder *d) { return d->query_heads + 2 * d->kv_heads; }

static int64_t lesser(int64_t a, int64_t b) { return a < b ? a : b; }

static int64_t at_least_one(int64_t count) { return count < 1 ? 1 : count; }

/* Of one share. */
static int64_t tokens_at_once(const struct decoder *d, int64_t tokens) {
    int64_t group = queries_per_kv_head(d), rows = tokens * d->kv_heads * group / MANY_UNITS;
    if (tokens <= FEW_TOKENS) return tokens;
    rows = rows < LEAST_ROWS ? LEAST_ROWS : rows > MOST_ROWS ? MOST_ROWS : rows;
    return at_least_one(rows / group);
}

static int64_t shares_of_tokens(const struct decoder *d, int64_t tokens) {
    int64_t at_once = tokens_at_once(d, tokens);
    return (tokens + at_once - 1) / at_once;
}

int64_t attention_splits(const struct decoder *d, int64_t tokens, int64_t positions) {
    int64_t splits = positions / SPLIT_POSITIONS, most = MAX_SPLITS;
    if (tokens > FEW_TOKENS) most = MANY_UNITS / (d->kv_heads * shares_of_tokens(d, tokens));
    return at_least_one(splits < most ? splits : most);
}

int64_t attention_units(const struct decoder *d, int64_t tokens, int64_t splits) {
    return d->kv_heads * splits * shares_of_tokens(d, tokens);
}

int64_t attention_states(const struct decoder *d) {
    int64_t most = FEW_TOKENS * MAX_SPLITS;
    for (int64_t tokens = FEW_TOKENS + 1; tokens <= MAX_TOKENS; tokens++) {
        int64_t states = tokens * attention_splits(d, tokens, INT64_MAX);
        most = states > most ? states : most;
    }
    return most;
}

static int64_t most_rows(const struct decoder *d) {
    int64_t group = queries_per_kv_head(d), few = FEW_TOKENS * group;
    int64_t many = at_least_one(MOST_ROWS / group) * group;
    return ((few > many ? few : many) + ROUND - 1) / ROUND * ROUND;
}

size_t attention_scratch_bytes(const struct decoder *d) {
    int64_t rows = most_rows(d), n = d->head_dim;
    int64_t floats = rows * (2 * n + BLOCK) + BLOCK * n, halves = rows * (n + BLOCK);
    return (size_t)(floats * (int64_t)sizeof(float) + halves * (int64_t)sizeof(uint16_t)) +
           (size_t)rows * sizeof(struct softmax);
}

static struct scratch scratch_of(const struct attention *a) {
    int64_t rows = most_rows(a->decoder), n = a->decoder->head_dim;
    float *loaded = a->scratch + rows * n, *weights = loaded + BLOCK * n;
    float *outputs = weights + rows * BLOCK;
    struct softmax *softmax = (struct softmax *)(outputs + rows * n);
    uint16_t *rounded = (uint16_t *)(softmax + rows);
    return (struct scratch){
        .queries = a->scratch,
        .loaded = loaded,
        .weights = weights,
        .outputs = outputs,
        .softmax = softmax,
        .rounded_queries = rounded,
        .rounded_weights = rounded + rows * n,
        .packed = (uint32_t *)loaded,
    };
}

static struct span span_of(const struct attention *a, int64_t layer, int64_t unit) {
    const struct decoder *d = a->decoder;
    int64_t at_once = tokens_at_once(d, a->tokens), first = unit / d->kv_heads / a->splits * at_once;
    int64_t rest = a->tokens - first, tokens = rest < at_once ? rest : at_once;
    return (struct span){
        .layer = layer,
        .kv_head = unit % d->kv_heads,
        .split = unit / d->kv_heads % a->splits,
        .first_token = first,
        .tokens = tokens,
        .rows = tokens * queries_per_kv_head(d),
    };
}

static void rotate(const float *x, const float *cos, const float *sin, int64_t width, float scale,
                   float *out) {
    int64_t half = width / 2;
    for (int64_t i = 0; i < half; i++) {
        float low = x[i], high = x[i + half];
        out[i] = (low * cos[i] + high * sin[i]) * scale;
        out[i + half] = (high * cos[i + half] + low * sin[i + half]) * scale;
    }
}

/* The number of a head's vector among all of the cache; part 0 has the keys, 1 the values. */
static int64_t vector_at(const struct attention *a, int64_t part, int64_t layer, int64_t kv_head,
                         int64_t position) {
    const struct decoder *d = a->decoder;
    return ((part * d->layers + layer) * d->kv_heads + kv_head) * a->cache.capacity + position;
}

static void store_vector(const struct attention *a, int64_t vector, const float *values) {
    int64_t n = a->decoder->head_dim;
    if (a->cache.format == BF16) {
        uint16_t *out = (uint16_t *)a->cache.data + vector * n;
        for (int64_t i = 0; i < n; i++) out[i] = to_bf16(values[i]);
    } else {
        memcpy((float *)a->cache.data + vector * n, values, (size_t)n * sizeof *values);
    }
}

static void load_vectors(const struct attention *a, int64_t vector, int64_t count,
                         float *restrict out) {
    int64_t n = a->decoder->head_dim;
    if (a->cache.format == BF16) {
        const uint16_t *values = (const uint16_t *)a->cache.data + vector * n;
        widen_bf16(values, count * n, out);
    } else {
        memcpy(out, (const float *)a->cache.data + vector * n, (size_t)(count * n) * sizeof *out);
    }
}

/* A query or key of a new token as it meets others: normalized, rotated, scaled. */
static void place_head(const struct attention *a, int64_t layer, const float *norm, int64_t token,
                       const float *x, float scale, float *out) {
    const struct decoder *d = a->decoder;
    int64_t n = d->head_dim;
    if (norm) {
        normalize(x, (struct norm){norm, NULL, d->rms_norm_eps}, n, out);
        x = out;
    }
    if (d->layer[layer].is_unrotated)
        for (int64_t i = 0; i < n; i++) out[i] = x[i] * scale;
    else
        rotate(x, a->cos + token * n, a->sin + token * n, n, scale, out);
}

static void write_head(const struct attention *a, int64_t layer, int64_t kv_head, int64_t token) {
    const struct decoder *d = a->decoder;
    int64_t n = d->head_dim, position = a->cache.length + token;
    const float *heads = a->heads + token * heads_per_token(d) * n;
    const float *key = heads + (d->query_heads + kv_head) * n;
    float *placed = scratch_of(a).loaded;
    place_head(a, layer, d->layer[layer].k_norm, token, key, 1.0f, placed);
    store_vector(a, vector_at(a, 0, layer, kv_head, position), placed);
    store_vector(a, vector_at(a, 1, layer, kv_head, position), key + d->kv_heads * n);
}

void write_token(const struct attention *a, int64_t layer, int64_t token) {
    for (int64_t head = 0; head < a->decoder->kv_heads; head++) write_head(a, layer, head, token);
}

static void place_queries(const struct attention *a, const struct span *span, float *queries) {
    const struct decoder *d = a->decoder;
    int64_t n = d->head_dim, group = queries_per_kv_head(d);
    for (int64_t row = 0; row < span->rows; row++) {
        int64_t token = span->first_token + row / group;
        int64_t head = span->kv_head * group + row % group;
        const float *query = a->heads + (token * heads_per_token(d) + head) * n;
        place_head(a, span->layer, d->layer[span->layer].q_norm, token, query, d->score_scale,
                   queries + row * n);
    }
}

static float *partial_at(const struct attention *a, int64_t token, int64_t head, int64_t split) {
    const struct decoder *d = a->decoder;
    return a->partial + ((token * d->query_heads + head) * a->splits + split) * (2 + d->head_dim);
}

/* How many of a block's positions a row may see; none or fewer if it ends before the block. */
static int64_t visible(const struct attention *a, const struct span *span, struct block block,
                       int64_t row) {
    int64_t token = span->first_token + row / queries_per_kv_head(a->decoder);
    int64_t end = a->cache.length + token + 1;
    return (end < block.end ? end : block.end) - block.first;
}

/* The first position that a token sees. In a tree nothing stands before its position in the cache. */
static int64_t first_visible(const struct attention *a, int64_t layer, int64_t token) {
    const struct cache *cache = &a->cache;
    int64_t position = cache->positions ? cache->positions[token] : cache->length + token;
    int64_t window = a->decoder->layer[layer].window;
    return window && position >= window ? position + 1 - window : 0;
}

/* The same of all from a token on. */
static int64_t first_visible_from(const struct attention *a, int64_t layer, int64_t token) {
    int64_t first = first_visible(a, layer, token);
    for (token++; a->cache.positions && token < a->tokens; token++)
        first = lesser(first, first_visible(a, layer, token));
    return first;
}

/* Of the scores of those, takes away what stands on other branches or before the window. */
static void hide_unseen(const struct attention *a, const struct span *span, struct block block,
                        int64_t row, float scores[BLOCK]) {
    const struct cache *cache = &a->cache;
    int64_t token = span->first_token + row / queries_per_kv_head(a->decoder);
    int64_t end = block.first + visible(a, span, block, row);
    int64_t trunk = cache->seen ? cache->trunk : end;
    int64_t hidden = lesser(first_visible(a, span->layer, token), lesser(trunk, end));
    for (int64_t at = block.first; at < hidden; at++) scores[at - block.first] = NOTHING_YET;
    if (end <= trunk) return;
    const uint8_t *seen = cache->seen + token * (cache->length + a->tokens - trunk);
    int bit = a->decoder->layer[span->layer].window ? SEEN_IN_WINDOW : SEEN;
    for (int64_t at = block.first > trunk ? block.first : trunk; at < end; at++)
        if (!(seen[at - trunk] & bit)) scores[at - block.first] = NOTHING_YET;
}

/* The scores of a block become weights; unseen ones 0. */
static void weigh_rows(const struct attention *a, const struct span *span, struct block block) {
    struct scratch s = scratch_of(a);
    int64_t n = a->decoder->head_dim;
    for (int64_t row = 0; row < span->rows; row++) {
        float *weights = s.weights + row * BLOCK;
        int64_t seen = visible(a, span, block, row);
        hide_unseen(a, span, block, row, weights);
        for (int64_t j = seen < 0 ? 0 : seen; j < BLOCK; j++) weights[j] = NOTHING_YET;
        if (seen > 0)
            update_softmax(weights, &s.softmax[row], s.outputs + row * n, n);
        else
            memset(weights, 0, BLOCK * sizeof *weights);
    }
}

static void attend_in_fp32(const struct attention *a, const struct span *span, struct block block) {
    int64_t n = a->decoder->head_dim, count = block.end - block.first;
    struct scratch s = scratch_of(a);
    load_vectors(a, vector_at(a, 0, span->layer, span->kv_head, block.first), count, s.loaded);
    for (int64_t row = 0; row < span->rows; row++)
        score(s.queries + row * n, s.loaded, visible(a, span, block, row), n,
              s.weights + row * BLOCK);
    weigh_rows(a, span, block);
    load_vectors(a, vector_at(a, 1, span->layer, span->kv_head, block.first), count, s.loaded);
    for (int64_t row = 0; row < span->rows; row++)
        add_weighted(s.weights + row * BLOCK, s.loaded, visible(a, span, block, row), n,
                     s.outputs + row * n);
}

/* Asks for the part of the next block that belongs to some of all rows: all at once would wait. */
static void prefetch_part(const uint16_t *block, int64_t n, int64_t first, int64_t rows) {
    const char *next = (const char *)(block + BLOCK * n);
    int64_t bytes = BLOCK * n * (int64_t)sizeof *block;
    int64_t from = bytes * first / rows / LINE * LINE, end = bytes * (first + PACKED_ROWS) / rows;
    for (int64_t at = from; at < end; at += LINE) __builtin_prefetch(next + at);
}

/* As multiply_packed for any number of rows, while more of the cache is on its way. */
static void multiply_rows(const uint16_t *left, int64_t rows, int64_t pairs, const uint32_t *packed,
                          int64_t width, int adding, float *out, const uint16_t *block, int64_t n) {
    for (int64_t first = 0; first < rows; first += PACKED_ROWS) {
        int64_t count = rows - first < PACKED_ROWS ? rows - first : PACKED_ROWS;
        prefetch_part(block, n, first, rows);
        multiply_packed(left + first * 2 * pairs, count, pairs, packed, width, adding,
                        out + first * width);
    }
}

static void attend_in_bf16(const struct attention *a, const struct span *span, struct block block) {
    int64_t n = a->decoder->head_dim, count = block.end - block.first, rows = span->rows;
    int packing = rows >= WORTH_PACKING && n % BLOCK == 0;
    struct scratch s = scratch_of(a);
    const uint16_t *cache = a->cache.data;
    const uint16_t *keys = cache + vector_at(a, 0, span->layer, span->kv_head, block.first) * n;
    const uint16_t *values = cache + vector_at(a, 1, span->layer, span->kv_head, block.first) * n;
    if (packing) {
        pack_rows(keys, count, n, s.packed, BLOCK);
        multiply_rows(s.rounded_queries, rows, n / 2, s.packed, BLOCK, 0, s.weights, keys, n);
        pack_values(values, count, n, s.packed);
    } else {
        score_rows(s.rounded_queries, rows, keys, count, n, s.weights);
    }
    for (int64_t row = 0; row < rows; row++) {
        hide_unseen(a, span, block, row, s.weights + row * BLOCK);
        weigh_row(s.weights + row * BLOCK, visible(a, span, block, row), &s.softmax[row],
                  s.outputs + row * n, n, s.rounded_weights + row * BLOCK);
    }
    if (packing)
        multiply_rows(s.rounded_weights, rows, BLOCK / 2, s.packed, n, 1, s.outputs, values, n);
    else
        add_weighted_rows(s.rounded_weights, rows, values, count, n, s.outputs);
}

/* What a share found, for whoever merges. */
static void put_partial(const struct attention *a, const struct span *span) {
    struct scratch s = scratch_of(a);
    int64_t n = a->decoder->head_dim, group = queries_per_kv_head(a->decoder);
    for (int64_t row = 0; row < span->rows; row++) {
        float *out = partial_at(a, span->first_token + row / group,
                                span->kv_head * group + row % group, span->split);
        memcpy(out, &s.softmax[row], sizeof s.softmax[row]);
        memcpy(out + 2, s.outputs + row * n, sizeof *out * (size_t)n);
    }
}

void attend(const struct attention *a, int64_t layer, int64_t unit) {
    struct span span = span_of(a, layer, unit);
    int64_t n = a->decoder->head_dim, oldest = first_visible_from(a, layer, 0);
    int64_t old = a->cache.length - oldest, needed = first_visible_from(a, layer, span.first_token);
    int64_t first = oldest + old * span.split / a->splits;
    int64_t end = oldest + old * (span.split + 1) / a->splits;
    int in_bf16 = a->cache.format == BF16 && has_fast_attention(n);
    struct scratch s = scratch_of(a);
    if (span.split == a->splits - 1) {
        for (int64_t token = 0; a->tokens <= FEW_TOKENS && token < a->tokens; token++)
            write_head(a, layer, span.kv_head, token);
        end += span.first_token + span.tokens;
    }
    place_queries(a, &span, s.queries);
    if (in_bf16) round_to_bf16(s.queries, span.rows * n, s.rounded_queries);
    memset(s.outputs, 0, sizeof *s.outputs * (size_t)(span.rows * n));
    for (int64_t row = 0; row < span.rows; row++) s.softmax[row] = (struct softmax){NOTHING_YET, 0};
    for (int64_t at = first > needed ? first : needed; at < end; at += BLOCK) {
        struct block block = {at, at + BLOCK < end ? at + BLOCK : end};
        (in_bf16 ? attend_in_bf16 : attend_in_fp32)(a, &span, block);
    }
    put_partial(a, &span);
}

static void merge_head(const struct attention *a, int64_t token, int64_t head,
                       float *restrict out) {
    int64_t n = a->decoder->head_dim;
    float largest = NOTHING_YET, sum = 0;
    for (int64_t split = 0; split < a->splits; split++) {
        float maximum = partial_at(a, token, head, split)[0];
        largest = maximum > largest ? maximum : largest;
    }
    memset(out, 0, sizeof *out * (size_t)n);
    for (int64_t split = 0; split < a->splits; split++) {
        const float *state = partial_at(a, token, head, split);
        float weight = exponential(state[0] - largest);
        sum += weight * state[1];
        for (int64_t i = 0; i < n; i++) out[i] += weight * state[2 + i];
    }
    for (int64_t i = 0; i < n; i++) out[i] /= sum;
}

/* Attended values of one token, (query_heads * head_dim). */
void merge_splits(const struct attention *a, int64_t token, float *out) {
    for (int64_t head = 0; head < a->decoder->query_heads; head++)
        merge_head(a, token, head, out + head * a->decoder->head_dim);
}
