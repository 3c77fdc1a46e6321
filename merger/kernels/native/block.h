/* The kernels over one block. Every variant includes this file, with its WIDTH. */
#include "lanes.h"

#define STEPS (LANES / WIDTH)

typedef Floats (*Load)(const uint8_t *);
typedef Words (*Store)(uint8_t *, Floats);
typedef Floats (*Round)(Floats);

INLINE Floats load_ahead(Load load, const uint8_t *in)
{
    PREFETCH(in + AHEAD);
    return load(in);
}

/* Adds lanes in float64: the upper half to the lower half, until one lane is left. */
INLINE double fold_lanes(const float *lanes)
{
    double wide[LANES];
    for (int i = 0; i < LANES; i++)
        wide[i] = lanes[i];
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++)
            wide[i] += wide[i + half];
    return wide[0];
}

INLINE void moments_with(Load load, int64_t size, const uint8_t *a, const uint8_t *b, double *sums)
{
    Floats aa[STEPS], bb[STEPS], ab[STEPS];
    memset(aa, 0, sizeof aa);
    memset(bb, 0, sizeof bb);
    memset(ab, 0, sizeof ab);
    for (int64_t at = 0; at < BLOCK * size; at += LANES * size)
        for (int s = 0; s < STEPS; s++) {
            Floats x = load_ahead(load, a + at + s * WIDTH * size);
            Floats y = load_ahead(load, b + at + s * WIDTH * size);
            aa[s] += x * x;
            bb[s] += y * y;
            ab[s] += x * y;
        }
    float lanes[3][LANES];
    memcpy(lanes[0], aa, sizeof aa);
    memcpy(lanes[1], bb, sizeof bb);
    memcpy(lanes[2], ab, sizeof ab);
    for (int i = 0; i < 3; i++)
        sums[i] = fold_lanes(lanes[i]);
}

/* 1 where the highest bit of any of the words is set. */
INLINE int any_high(Words words)
{
    uint32_t lanes[WIDTH], any = 0;
    memcpy(lanes, &words, sizeof lanes);
    for (int i = 0; i < WIDTH; i++)
        any |= lanes[i];
    return (int)(any >> 31);
}

INLINE Floats broadcast(float x) { return x - (Floats){0}; }

INLINE int combine_with(Load load, Store store, int64_t size, const uint8_t *a, const uint8_t *b,
                        float wa, float wb, float divisor, uint8_t *out, int64_t count)
{
    Words magnitudes = {0};
    Floats va = broadcast(wa), vb = broadcast(wb), zero = {0};
    int64_t end = count * size, step = WIDTH * size;
    if (divisor == 0.0f)
        for (int64_t at = 0; at < end; at += step)
            magnitudes |=
                store(out + at, load_ahead(load, a + at) * va + load_ahead(load, b + at) * vb);
    else if (divisor == 1.0f)
        for (int64_t at = 0; at < end; at += step)
            magnitudes |= store(out + at, fused(load_ahead(load, b + at), vb,
                                                fused(load_ahead(load, a + at), va, zero)));
    else
        for (int64_t at = 0; at < end; at += step)
            magnitudes |=
                store(out + at, fused(load_ahead(load, b + at), vb,
                                      fused(load_ahead(load, a + at), va, zero)) / divisor);
    return any_high(magnitudes);
}

INLINE Words words_at(const uint8_t *in)
{
    Words words;
    PREFETCH(in + AHEAD);
    memcpy(&words, in, sizeof words);
    return words;
}

/* Stores that bypass the caches do not read memory that is overwritten completely. */
INLINE void put_words(uint8_t *out, Words words, int past_caches)
{
#if WIDTH == 16
    if (past_caches) {
        _mm512_stream_si512((void *)out, (__m512i)words);
        return;
    }
#elif WIDTH == 8
    if (past_caches) {
        _mm256_stream_si256((__m256i *)out, (__m256i)words);
        return;
    }
#endif
    (void)past_caches;
    memcpy(out, &words, sizeof words);
}

#if WIDTH > 1
#define FENCE() _mm_sfence() /* so that other threads see it */
#else
#define FENCE() ((void)0)
#endif

INLINE Floats weighted_pair(Words x, Words y, Floats wa, Floats wb, float divisor)
{
    Floats zero = {0};
    if (divisor == 0.0f)
        return number(x) * wa + number(y) * wb;
    Floats sum = fused(number(y), wb, fused(number(x), wa, zero));
    return divisor == 1.0f ? sum : sum / divisor;
}

/* `combine_with` of bfloat16, two numbers per word, without unpacking: the upper half of a word is
 * a float32. The output is the same except for NaN, whose blocks are refused anyway. */
INLINE int combine_words(const uint8_t *a, const uint8_t *b, float wa, float wb, float divisor,
                         uint8_t *out, int64_t count, int past_caches)
{
    Words magnitudes = {0};
    Floats va = broadcast(wa), vb = broadcast(wb);
    for (int64_t at = 0; at < count * 2; at += 4 * WIDTH) {
        Words x = words_at(a + at), y = words_at(b + at);
        Words low = bits(weighted_pair(x << 16, y << 16, va, vb, divisor));
        Words high = bits(weighted_pair(x & UPPER, y & UPPER, va, vb, divisor));
        magnitudes |= (low & 0x7fffffffu) + BIAS_ROUNDED;
        magnitudes |= (high & 0x7fffffffu) + BIAS_ROUNDED;
        low = round_word(low) >> 16 | (round_word(high) & UPPER);
        put_words(out + at, low, past_caches);
    }
    if (past_caches)
        FENCE();
    return any_high(magnitudes);
}

static int combine_bf16(const uint8_t *a, const uint8_t *b, float wa, float wb, float divisor,
                        uint8_t *out, int64_t count, int past_caches)
{
    if (divisor == 0.0f && past_caches)
        return combine_words(a, b, wa, wb, 0.0f, out, count, 1);
    if (divisor == 1.0f && past_caches)
        return combine_words(a, b, wa, wb, 1.0f, out, count, 1);
    if (divisor == 0.0f)
        return combine_words(a, b, wa, wb, 0.0f, out, count, 0);
    return combine_words(a, b, wa, wb, divisor, out, count, past_caches);
}

/* A sum of weighted differences, divided and scaled, every result rounded. A single one is rounded
 * already. */
INLINE Floats finish_deltas(Round round, Floats sum, int others, float divisor, float scale)
{
    if (others != 1)
        sum = round(sum);
    if (divisor != 0.0f)
        sum = round(sum / divisor);
    return scale != 1.0f ? round(sum * scale) : sum;
}

INLINE int deltas_with(Load load, Store store, Round round, int64_t size, const uint8_t *const *in,
                       int others, const float *row, uint8_t *out, int64_t count)
{
    Words magnitudes = {0};
    for (int64_t at = 0; at < count * size; at += WIDTH * size) {
        Floats base = load_ahead(load, in[0] + at), sum = {0};
        for (int i = 0; i < others; i++) {
            Floats delta = round(load_ahead(load, in[i + 1] + at) - base);
            sum = sum + round(delta * row[i]);
        }
        sum = finish_deltas(round, sum, others, row[others], row[others + 1]);
        magnitudes |= store(out + at, base + sum);
    }
    return any_high(magnitudes);
}

/* `deltas_with` of bfloat16, two numbers per word as in `combine_words`. */
INLINE int deltas_words(const uint8_t *const *in, int others, const float *row, uint8_t *out,
                        int64_t count, int past_caches)
{
    const uint8_t *sources[MAX_INPUTS];
    Floats weights[MAX_INPUTS];
    float divisor = row[others], scale = row[others + 1];
    Words magnitudes = {0};
    for (int i = 0; i < others; i++) { /* out may alias what is read through pointers */
        sources[i] = in[i + 1];
        weights[i] = broadcast(row[i]);
    }
    const uint8_t *base = in[0];
    for (int64_t at = 0; at < count * 2; at += 4 * WIDTH) {
        Words word = words_at(base + at);
        Floats low_base = number(word << 16), high_base = number(word & UPPER);
        Floats low = {0}, high = {0};
        for (int i = 0; i < others; i++) {
            word = words_at(sources[i] + at);
            low = low + round_bf16(round_bf16(number(word << 16) - low_base) * weights[i]);
            high = high + round_bf16(round_bf16(number(word & UPPER) - high_base) * weights[i]);
        }
        low = low_base + finish_deltas(round_bf16, low, others, divisor, scale);
        high = high_base + finish_deltas(round_bf16, high, others, divisor, scale);
        word = round_word(bits(low)) >> 16 | (round_word(bits(high)) & UPPER);
        magnitudes |= (word & 0x7fff7fffu) + PAIR_BIAS;
        put_words(out + at, word, past_caches);
    }
    if (past_caches)
        FENCE();
    return any_high(magnitudes | magnitudes << 16);
}

static int deltas_bf16(const uint8_t *const *in, int others, const float *row, uint8_t *out,
                       int64_t count, int past_caches)
{
    if (others == 1)
        return deltas_words(in, 1, row, out, count, past_caches);
    if (others == 2)
        return deltas_words(in, 2, row, out, count, past_caches);
    return deltas_words(in, others, row, out, count, past_caches);
}

INLINE void weigh_with(Load load, int64_t size, const uint8_t *in, float weight, int how,
                       float *sum, int64_t count)
{
    for (int64_t i = 0; i < count; i += WIDTH) {
        Floats x = load_ahead(load, in + i * size), before;
        memcpy(&before, sum + i, sizeof before);
        if (how == FUSED)
            x = fused(x, broadcast(weight), before);
        else
            x = how == FIRST ? x * weight : before + x * weight;
        memcpy(sum + i, &x, sizeof x);
    }
}

INLINE int pack_with(Store store, int64_t size, const float *in, uint8_t *out, int64_t count)
{
    Words magnitudes = {0};
    for (int64_t i = 0; i < count; i += WIDTH)
        magnitudes |= store(out + i * size, load_f32((const uint8_t *)(in + i)));
    return any_high(magnitudes);
}

#define MOST_KERNELS(kind, size)                                                                   \
    static void moments_##kind(const uint8_t *a, const uint8_t *b, double *sums)                   \
    {                                                                                              \
        moments_with(load_##kind, size, a, b, sums);                                               \
    }                                                                                              \
    static void weigh_##kind(const uint8_t *in, float weight, int how, float *sum, int64_t count)  \
    {                                                                                              \
        weigh_with(load_##kind, size, in, weight, how, sum, count);                                \
    }                                                                                              \
    static int pack_##kind(const float *in, uint8_t *out, int64_t count)                           \
    {                                                                                              \
        return pack_with(store_##kind, size, in, out, count);                                      \
    }

#define DELTAS(kind, size)                                                                         \
    static int deltas_##kind(const uint8_t *const *in, int others, const float *row, uint8_t *out, \
                             int64_t count, int past_caches)                                       \
    {                                                                                              \
        (void)past_caches;                                                                         \
        return deltas_with(load_##kind, store_##kind, round_##kind, size, in, others, row, out,    \
                           count);                                                                 \
    }

#define KERNELS(kind, size)                                                                        \
    static int combine_##kind(const uint8_t *a, const uint8_t *b, float wa, float wb,              \
                              float divisor, uint8_t *out, int64_t count, int past_caches)         \
    {                                                                                              \
        (void)past_caches;                                                                         \
        return combine_with(load_##kind, store_##kind, size, a, b, wa, wb, divisor, out, count);   \
    }                                                                                              \
    DELTAS(kind, size)                                                                             \
    MOST_KERNELS(kind, size)

MOST_KERNELS(bf16, 2)
KERNELS(f16, 2)
KERNELS(f32, 4)

#define TABLE(name)                                                                                \
    {                                                                                              \
        name, {moments_bf16, moments_f16, moments_f32}, {combine_bf16, combine_f16, combine_f32},  \
            {deltas_bf16, deltas_f16, deltas_f32}, {weigh_bf16, weigh_f16, weigh_f32},             \
        {                                                                                          \
            pack_bf16, pack_f16, pack_f32                                                          \
        }                                                                                          \
    }
