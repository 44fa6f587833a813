/* Grouped-query attention of new tokens over the whole cache.
 *
 * The cache is split along its positions, so that threads can share one head; each split keeps
 * maximum, sum and weighted values (online softmax, Milakov and Gimelshein 2018), and whoever
 * needs the result merges them. The split with the last positions rotates and writes the new keys
 * and values first: nobody else reads them.
 */
#include "attention_block.h"
#include "midfill.h"
#include "scalar.h"

enum { SPLIT_POSITIONS = 256 };
enum { MANY_UNITS = 16 };   /* shares of a layer's work that are enough for many tokens */
enum { LINE = 64 };
enum { WORTH_PACKING = 24 }; /* rows, measured */

/* Of a thread, for one head: rows are the queries of all tokens. */
struct scratch {
    float *queries; /* [row][head_dim], rotated and scaled */
    float *loaded;  /* [BLOCK][head_dim], keys or values */
    float *weights; /* [row][BLOCK] */
    uint16_t *rounded_queries, *rounded_weights; /* the same in bf16 */
    uint32_t *packed; /* keys or values in bf16 pairs, where `loaded` would be */
};

struct block {
    int64_t first, end;
};

static int64_t most_splits(const struct decoder *d, int64_t tokens) {
    if (tokens <= FEW_TOKENS) return MAX_SPLITS;
    return d->kv_heads < MANY_UNITS ? MANY_UNITS / d->kv_heads : 1;
}

int64_t attention_splits(const struct decoder *d, int64_t tokens, int64_t positions) {
    int64_t splits = positions / SPLIT_POSITIONS, most = most_splits(d, tokens);
    return splits < 1 ? 1 : splits > most ? most : splits;
}

int64_t attention_states(const struct decoder *d) {
    int64_t few = FEW_TOKENS * MAX_SPLITS, many = MAX_TOKENS * most_splits(d, MAX_TOKENS);
    return few > many ? few : many;
}

static int64_t queries_per_kv_head(const struct decoder *d) { return d->query_heads / d->kv_heads; }

static int64_t heads_per_token(const struct decoder *d) { return d->query_heads + 2 * d->kv_heads; }

static int64_t most_rows(const struct decoder *d) { return MAX_TOKENS * queries_per_kv_head(d); }

size_t attention_scratch_bytes(const struct decoder *d) {
    int64_t per_row = (d->head_dim + BLOCK) * (int64_t)(sizeof(float) + sizeof(uint16_t));
    return (size_t)(most_rows(d) * per_row + BLOCK * d->head_dim * (int64_t)sizeof(float));
}

static struct scratch scratch_of(const struct attention *a) {
    int64_t rows = most_rows(a->decoder), n = a->decoder->head_dim;
    float *loaded = a->scratch + rows * n, *weights = loaded + BLOCK * n;
    uint16_t *rounded = (uint16_t *)(weights + rows * BLOCK);
    return (struct scratch){a->scratch, loaded,           weights,
                            rounded,    rounded + rows * n, (uint32_t *)loaded};
}

static void rotate(const float *x, const float *cos, const float *sin, int64_t width, float scale,
                   float *out) {
    int64_t half = width / 2;
    for (int64_t i = 0; i < half; i++) {
        out[i] = (x[i] * cos[i] + x[i + half] * sin[i]) * scale;
        out[i + half] = (x[i + half] * cos[i + half] + x[i] * sin[i + half]) * scale;
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

static void write_new(const struct attention *a, int64_t layer, int64_t kv_head) {
    const struct decoder *d = a->decoder;
    int64_t n = d->head_dim;
    float *rotated = scratch_of(a).loaded;
    for (int64_t token = 0; token < a->tokens; token++) {
        const float *heads = a->heads + token * heads_per_token(d) * n;
        const float *key = heads + (d->query_heads + kv_head) * n;
        int64_t position = a->cache.length + token;
        rotate(key, a->cos + token * n, a->sin + token * n, n, 1.0f, rotated);
        store_vector(a, vector_at(a, 0, layer, kv_head, position), rotated);
        store_vector(a, vector_at(a, 1, layer, kv_head, position), key + d->kv_heads * n);
    }
}

static void rotate_queries(const struct attention *a, int64_t kv_head, float *queries) {
    const struct decoder *d = a->decoder;
    int64_t n = d->head_dim, group = queries_per_kv_head(d);
    float scale = 1.0f / __builtin_sqrtf((float)n);
    for (int64_t row = 0; row < a->tokens * group; row++) {
        int64_t token = row / group, head = kv_head * group + row % group;
        const float *query = a->heads + (token * heads_per_token(d) + head) * n;
        rotate(query, a->cos + token * n, a->sin + token * n, n, scale, queries + row * n);
    }
}

static float *partial_at(const struct attention *a, int64_t token, int64_t head, int64_t split) {
    const struct decoder *d = a->decoder;
    return a->partial + ((token * d->query_heads + head) * a->splits + split) * (2 + d->head_dim);
}

static float *state_of(const struct attention *a, int64_t row, int64_t kv_head, int64_t split) {
    int64_t group = queries_per_kv_head(a->decoder);
    return partial_at(a, row / group, kv_head * group + row % group, split);
}

/* How many of a block's positions a row may see; none or fewer if it ends before the block. */
static int64_t visible(const struct attention *a, struct block block, int64_t row) {
    int64_t end = a->cache.length + row / queries_per_kv_head(a->decoder) + 1;
    return (end < block.end ? end : block.end) - block.first;
}

/* The scores of a block become weights; unseen ones 0. */
static void weigh_rows(const struct attention *a, int64_t kv_head, int64_t split,
                       struct block block) {
    struct scratch s = scratch_of(a);
    for (int64_t row = 0; row < a->tokens * queries_per_kv_head(a->decoder); row++) {
        float *weights = s.weights + row * BLOCK;
        int64_t seen = visible(a, block, row);
        for (int64_t j = seen < 0 ? 0 : seen; j < BLOCK; j++) weights[j] = NOTHING_YET;
        if (seen > 0)
            update_softmax(weights, state_of(a, row, kv_head, split), a->decoder->head_dim);
        else
            memset(weights, 0, BLOCK * sizeof *weights);
    }
}

static void attend_in_fp32(const struct attention *a, int64_t layer, int64_t kv_head,
                           int64_t split, struct block block) {
    int64_t n = a->decoder->head_dim, count = block.end - block.first;
    int64_t rows = a->tokens * queries_per_kv_head(a->decoder);
    struct scratch s = scratch_of(a);
    load_vectors(a, vector_at(a, 0, layer, kv_head, block.first), count, s.loaded);
    for (int64_t row = 0; row < rows; row++)
        score(s.queries + row * n, s.loaded, visible(a, block, row), n, s.weights + row * BLOCK);
    weigh_rows(a, kv_head, split, block);
    load_vectors(a, vector_at(a, 1, layer, kv_head, block.first), count, s.loaded);
    for (int64_t row = 0; row < rows; row++)
        add_weighted(s.weights + row * BLOCK, s.loaded, visible(a, block, row), n,
                     state_of(a, row, kv_head, split) + 2);
}

/* Up to `most` rows' outputs from one on; how many there are. */
static int64_t take_outputs(const struct attention *a, int64_t kv_head, int64_t split,
                            int64_t first, int64_t most, float **out) {
    int64_t rest = a->tokens * queries_per_kv_head(a->decoder) - first;
    int64_t count = rest < most ? rest : most;
    for (int64_t row = 0; row < count; row++)
        out[row] = state_of(a, first + row, kv_head, split) + 2;
    return count;
}

/* Asks for the part of the next block that belongs to some of all rows: all at once would wait. */
static void prefetch_part(const uint16_t *block, int64_t n, int64_t first, int64_t rows) {
    const char *next = (const char *)(block + BLOCK * n);
    int64_t bytes = BLOCK * n * (int64_t)sizeof *block;
    int64_t from = bytes * first / rows / LINE * LINE, end = bytes * (first + PACKED_ROWS) / rows;
    for (int64_t at = from; at < end; at += LINE) __builtin_prefetch(next + at);
}

static void score_packed(const struct scratch *s, int64_t rows, int64_t n, const uint16_t *keys) {
    for (int64_t first = 0; first < rows; first += PACKED_ROWS) {
        prefetch_part(keys, n, first, rows);
        float *out[PACKED_ROWS];
        int64_t count = rows - first < PACKED_ROWS ? rows - first : PACKED_ROWS;
        for (int64_t row = 0; row < count; row++) out[row] = s->weights + (first + row) * BLOCK;
        multiply_packed(s->rounded_queries + first * n, count, n / 2, s->packed, BLOCK, 0, out);
    }
}

static void attend_in_bf16(const struct attention *a, int64_t layer, int64_t kv_head,
                           int64_t split, struct block block) {
    int64_t n = a->decoder->head_dim, count = block.end - block.first;
    int64_t rows = a->tokens * queries_per_kv_head(a->decoder);
    int packing = rows >= WORTH_PACKING && n % BLOCK == 0;
    struct scratch s = scratch_of(a);
    const uint16_t *cache = a->cache.data;
    const uint16_t *keys = cache + vector_at(a, 0, layer, kv_head, block.first) * n;
    const uint16_t *values = cache + vector_at(a, 1, layer, kv_head, block.first) * n;
    float *out[ROWS];
    if (packing) {
        pack_keys(keys, count, n, s.packed);
        score_packed(&s, rows, n, keys);
        pack_values(values, count, n, s.packed);
    } else {
        score_rows(s.rounded_queries, rows, keys, count, n, s.weights);
    }
    for (int64_t row = 0; row < rows; row++)
        weigh_row(s.weights + row * BLOCK, visible(a, block, row),
                  state_of(a, row, kv_head, split), n, s.rounded_weights + row * BLOCK);
    for (int64_t first = 0, some; first < rows; first += some) {
        const uint16_t *weights = s.rounded_weights + first * BLOCK;
        some = take_outputs(a, kv_head, split, first, packing ? PACKED_ROWS : ROWS, out);
        if (packing) prefetch_part(values, n, first, rows);
        if (packing)
            multiply_packed(weights, some, BLOCK / 2, s.packed, n, 1, out);
        else
            add_weighted_rows(weights, some, values, count, n, out);
    }
}

/* One head's share of the cache; the result goes to `partial`. */
void attend(const struct attention *a, int64_t layer, int64_t kv_head, int64_t split) {
    int64_t old = a->cache.length, new = a->tokens;
    int64_t first = old * split / a->splits, end = old * (split + 1) / a->splits;
    if (split == a->splits - 1) {
        write_new(a, layer, kv_head);
        end += new;
    }
    int64_t rows = new * queries_per_kv_head(a->decoder), n = a->decoder->head_dim;
    int in_bf16 = a->cache.format == BF16 && has_fast_attention(n);
    struct scratch s = scratch_of(a);
    rotate_queries(a, kv_head, s.queries);
    if (in_bf16) round_to_bf16(s.queries, rows * n, s.rounded_queries);
    for (int64_t row = 0; row < rows; row++) {
        float *state = state_of(a, row, kv_head, split);
        memset(state, 0, sizeof *state * (size_t)(2 + n));
        state[0] = NOTHING_YET;
    }
    for (int64_t at = first; at < end; at += BLOCK) {
        struct block block = {at, at + BLOCK < end ? at + BLOCK : end};
        (in_bf16 ? attend_in_bf16 : attend_in_fp32)(a, layer, kv_head, split, block);
    }
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
