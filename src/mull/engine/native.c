/* What a pass does between its products of matrices, for fp32 on a CPU. See native.py.
 *
 * N rows of w tokens each, H key-value heads, Q queries of a row that share one (w times those of a
 * token), D head width (a multiple of 16, fixed when this is compiled). A private block holds keys
 * (H, D, 16) and values (H, 16, D), a shared one 16 rows (H, D) of both.
 */
#include <stdint.h>

typedef float v16 __attribute__((vector_size(64), aligned(4)));
typedef int32_t i16 __attribute__((vector_size(64), aligned(4)));

enum { BLOCK = 16, WIDE = D / 16 };

typedef struct {
    int32_t rows, tokens, heads, queries, most, columns;
    const int32_t *table;    /* (N, most): each row's private blocks */
    const int32_t *lengths;  /* (N, w): its private positions, as each of its tokens sees them */
    const int32_t *shared;   /* (N+1): where a row begins in the next two */
    const int32_t *blocks;   /* shared blocks that are read one by one */
    const int32_t *filled;   /* and how much of each */
    const int32_t *segments; /* (N+1): where a row begins in the next two */
    const int32_t *starts;   /* columns of its scores that others have filled */
    const int32_t *counts;   /* and how many */
    float *asked;            /* (H, N, Q, D): queries */
    float *scores;           /* (H, N, Q, columns): what segments scored, then their weights */
    float *mixed;            /* (H, N, Q, D) */
    float *room;             /* (Q, columns beside those) */
} Rows;

static inline v16 all(float x) {
    return (v16){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x};
}

/* x where the mask is 0, else y */
static inline v16 either(i16 mask, v16 y, v16 x) {
    return (v16)((mask & (i16)y) | (~mask & (i16)x));
}

/* exp within 2 units in the last place, of numbers not above 88; 0 below -87 */
static inline v16 exp16(v16 x) {
    i16 tiny = x < -87.0f;
    x = either(tiny, all(-87.0f), x);
    v16 n = x * 1.44269504f + 12582912.0f; /* to the next whole number, in the low bits */
    i16 power = (i16)n << 23;
    n -= 12582912.0f;
    x -= n * 0.693359375f;
    x -= n * -2.12194440e-4f;
    v16 y = x * 1.9875691500e-4f + 1.3981999507e-3f;
    y = y * x + 8.3334519073e-3f;
    y = y * x + 4.1665795894e-2f;
    y = y * x + 1.6666665459e-1f;
    y = y * x + 5.0000001201e-1f;
    y = y * x * x + x + 1.0f;
    y = (v16)((i16)y + power);
    return either(tiny, all(0.0f), y);
}

static inline float sum16(v16 x) {
    x += __builtin_shuffle(x, (i16){8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7});
    x += __builtin_shuffle(x, (i16){4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11});
    return (x[0] + x[1]) + (x[2] + x[3]);
}

/* Each row over its length; the columns behind `width` belong to the length alone. */
void norm(const float *x, float *out, int32_t rows, int32_t width, int32_t stride) {
    for (int r = 0; r < rows; r++, x += stride, out += width) {
        v16 squares = all(0);
        for (int c = 0; c < stride; c += 16) squares += *(v16 *)(x + c) * *(v16 *)(x + c);
        v16 scale = all(1.0f / __builtin_sqrtf(sum16(squares)));
        for (int c = 0; c < width; c += 16) *(v16 *)(out + c) = *(v16 *)(x + c) * scale;
    }
}

/* silu of the first half of each row, times the second */
void gate(const float *wide, float *out, int32_t rows, int32_t width) {
    for (int r = 0; r < rows; r++, wide += 2 * width, out += width)
        for (int c = 0; c < width; c += 16) {
            v16 x = *(v16 *)(wide + c), low = either(x < -80.0f, all(-80.0f), x);
            *(v16 *)(out + c) = x / (1.0f + exp16(-low)) * *(v16 *)(wide + width + c);
        }
}

/* Keys and values to their blocks, queries side by side. A token's lie at new + token * stride:
 * queries (H, G, D), keys (H, D), values (H, D), turned already. */
void enter(const Rows *r, float *keys, float *values, const float *new, int32_t stride) {
    int each = r->queries / r->tokens, heads = r->heads;
    for (int n = 0; n < r->rows; n++)
        for (int t = 0; t < r->tokens; t++, new += stride) {
            int at = r->lengths[n * r->tokens + t] - 1;
            int64_t block = r->table[n * r->most + at / BLOCK];
            int place = at % BLOCK;
            const float *key = new + heads * each * D, *value = key + heads * D;
            for (int h = 0; h < heads; h++) {
                float *to = keys + (block * heads + h) * D * BLOCK + place;
                for (int d = 0; d < D; d++) to[d * BLOCK] = key[h * D + d];
                to = values + ((block * heads + h) * BLOCK + place) * D;
                __builtin_memcpy(to, value + h * D, D * sizeof(float));
                to = r->asked + (((int64_t)h * r->rows + n) * r->queries + t * each) * D;
                __builtin_memcpy(to, new + h * each * D, each * D * sizeof(float));
            }
        }
}

static inline v16 score_private(const float *query, const float *keys) {
    v16 a = all(0), b = a, c = a, d = a;
    for (int i = 0; i < D; i += 4) {
        a += query[i] * *(v16 *)(keys + i * BLOCK);
        b += query[i + 1] * *(v16 *)(keys + (i + 1) * BLOCK);
        c += query[i + 2] * *(v16 *)(keys + (i + 2) * BLOCK);
        d += query[i + 3] * *(v16 *)(keys + (i + 3) * BLOCK);
    }
    return (a + b) + (c + d);
}

static inline void mix_in(v16 *sum, const float *weights, const float *values, int count, int step) {
    for (int j = 0; j < count; j++)
        for (int i = 0; i < WIDE; i++) sum[i] += weights[j] * *(v16 *)(values + j * step + i * 16);
}

/* One row of scores becomes exp(score - top); returns their sum. */
static inline float weigh(float *scores, int count, float top) {
    v16 total = all(0);
    int i = 0;
    for (; i + 16 <= count; i += 16) {
        v16 y = exp16(*(v16 *)(scores + i) - top);
        *(v16 *)(scores + i) = y;
        total += y;
    }
    float rest = 0;
    if (i < count) {
        v16 x = all(-1e30f);
        for (int j = i; j < count; j++) x[j - i] = scores[j] - top;
        x = exp16(x);
        for (int j = i; j < count; j++) rest += scores[j] = x[j - i];
    }
    return sum16(total) + rest;
}

static inline float largest(const float *scores, int count, float top) {
    for (int i = 0; i < count; i++) top = scores[i] > top ? scores[i] : top;
    return top;
}

/* Scores of what segments have not scored, one softmax over all, and the mix of the former. */
void attend(const Rows *r, const float *keys, const float *values) {
    int heads = r->heads, queries = r->queries, step = heads * D;
    for (int h = 0; h < heads; h++)
        for (int n = 0; n < r->rows; n++) {
            int64_t row = ((int64_t)h * r->rows + n) * queries;
            const float *asked = r->asked + row * D;
            const int32_t *lengths = r->lengths + n * r->tokens;
            const int32_t *table = r->table + n * r->most;
            int first = r->shared[n], end = r->shared[n + 1];
            int longest = lengths[r->tokens - 1], num_shared = (end - first) * BLOCK;
            int width = num_shared + (longest + BLOCK - 1) / BLOCK * BLOCK;
            for (int e = first; e < end; e++) {
                const float *from = keys + (int64_t)r->blocks[e] * BLOCK * step + h * D;
                for (int j = 0; j < BLOCK; j++, from += step)
                    for (int q = 0; q < queries; q++) {
                        v16 dot = all(0);
                        for (int i = 0; i < WIDE; i++)
                            dot += *(v16 *)(asked + q * D + i * 16) * *(v16 *)(from + i * 16);
                        r->room[q * width + (e - first) * BLOCK + j] =
                            j < r->filled[e] ? sum16(dot) : -1e30f;
                    }
            }
            for (int p = 0; p * BLOCK < longest; p++) {
                const float *from = keys + ((int64_t)table[p] * heads + h) * D * BLOCK;
                for (int q = 0; q < queries; q++) {
                    float *to = r->room + q * width + num_shared + p * BLOCK;
                    *(v16 *)to = score_private(asked + q * D, from);
                    int seen = lengths[q * r->tokens / queries] - p * BLOCK;
                    for (int j = seen < 0 ? 0 : seen; j < BLOCK; j++) to[j] = -1e30f;
                }
            }
            for (int q = 0; q < queries; q++) {
                float *mine = r->room + q * width, *others = r->scores + (row + q) * r->columns;
                float top = largest(mine, width, -1e30f), total;
                for (int s = r->segments[n]; s < r->segments[n + 1]; s++)
                    top = largest(others + r->starts[s], r->counts[s], top);
                total = weigh(mine, width, top);
                for (int s = r->segments[n]; s < r->segments[n + 1]; s++)
                    total += weigh(others + r->starts[s], r->counts[s], top);
                float scale = 1.0f / total;
                for (int s = r->segments[n]; s < r->segments[n + 1]; s++)
                    for (int i = 0; i < r->counts[s]; i++) others[r->starts[s] + i] *= scale;
                v16 sum[WIDE];
                for (int i = 0; i < WIDE; i++) sum[i] = all(0);
                for (int e = first; e < end; e++)
                    mix_in(sum, mine + (e - first) * BLOCK,
                           values + (int64_t)r->blocks[e] * BLOCK * step + h * D, r->filled[e], step);
                for (int p = 0; p * BLOCK < longest; p++) {
                    int left = longest - p * BLOCK;
                    mix_in(sum, mine + num_shared + p * BLOCK,
                           values + ((int64_t)table[p] * heads + h) * BLOCK * D,
                           left < BLOCK ? left : BLOCK, D);
                }
                for (int i = 0; i < WIDE; i++)
                    *(v16 *)(r->mixed + (row + q) * D + i * 16) = sum[i] * scale;
            }
        }
}

/* What was mixed, as it is multiplied next: (N*w, H*G*D). */
void leave(const Rows *r, float *out) {
    int each = r->queries / r->tokens;
    for (int n = 0; n < r->rows; n++)
        for (int t = 0; t < r->tokens; t++)
            for (int h = 0; h < r->heads; h++, out += each * D)
                __builtin_memcpy(
                    out, r->mixed + (((int64_t)h * r->rows + n) * r->queries + t * each) * D,
                    each * D * sizeof(float));
}
