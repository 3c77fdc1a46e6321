/* Cuts tensors into blocks, chooses the kernel of a block, and pads the last block. */
#include "merge.h"

const int64_t sizes[KINDS] = {2, 2, 4, 8};

/* Numbers padded with zeros to `full`, in `buffer`, which has room for BLOCK numbers. */
static Numbers pad(Numbers in, int64_t count, int64_t full, uint8_t *buffer)
{
    int64_t size = sizes[in.kind];
    memcpy(buffer, in.data, (size_t)(count * size));
    memset(buffer + count * size, 0, (size_t)((full - count) * size));
    return (Numbers){buffer, in.kind};
}

static Numbers skip(Numbers in, int64_t start)
{
    return (Numbers){in.data + start * sizes[in.kind], in.kind};
}

static int fits(double squares) { return squares >= FLOOR && squares <= CEILING; }

/* The sums of a whole block. */
static void block_moments(const Variant *v, Numbers a, Numbers b, double *sums)
{
    float x[BLOCK], y[BLOCK];
    if (a.kind != F64 && b.kind != F64) {
        if (a.kind == b.kind) {
            v->moments[a.kind](a.data, b.data, sums);
        } else {
            v->weigh[a.kind](a.data, 1.0f, FIRST, x, BLOCK);
            v->weigh[b.kind](b.data, 1.0f, FIRST, y, BLOCK);
            v->moments[F32]((const uint8_t *)x, (const uint8_t *)y, sums);
        }
        if (fits(sums[0]) && fits(sums[1]))
            return;
    }
    moments_wide(v, a, b, BLOCK, sums);
}

static void last_moments(const Variant *v, Numbers a, Numbers b, int64_t count, double *sums)
{
    uint8_t padded_a[BLOCK * 8], padded_b[BLOCK * 8];
    block_moments(v, pad(a, count, BLOCK, padded_a), pad(b, count, BLOCK, padded_b), sums);
}

void moments(const Variant *v, Numbers a, Numbers b, int64_t count, double *sums)
{
    int64_t blocks = (count + BLOCK - 1) / BLOCK;
    for (int64_t i = 0; i < blocks; i++) {
        double *chunk = sums + 3 * (i / CHUNK), block[3];
        int64_t start = i * BLOCK, left = count - start;
        if (left >= BLOCK)
            block_moments(v, skip(a, start), skip(b, start), block);
        else
            last_moments(v, skip(a, start), skip(b, start), left, block);
        for (int s = 0; s < 3; s++)
            chunk[s] = i % CHUNK ? chunk[s] + block[s] : block[s];
    }
}

static int any_wide(const Numbers *in, int inputs)
{
    int wide = 0;
    for (int i = 0; i < inputs; i++)
        wide |= in[i].kind == F64;
    return wide;
}

static int pack_any(const Variant *v, const float *in, uint8_t *out, int kind, int64_t count)
{
    double wide[BLOCK];
    if (kind != F64)
        return v->pack[kind](in, out, count);
    for (int64_t i = 0; i < count; i++)
        wide[i] = in[i];
    return pack_wide(v, wide, out, kind, count);
}

/* The weighted sum of any number of inputs of any kind; `count` is a multiple of LANES. Inputs of
 * weight zero are skipped, which keeps the signs of zeros. */
static int block_combine(const Variant *v, const Numbers *in, int inputs, const double *row,
                         uint8_t *out, int kind, int64_t count, int past_caches)
{
    float sum[BLOCK], divisor = (float)row[inputs];
    int how = divisor == 0.0f ? FIRST : FUSED;
    if (any_wide(in, inputs))
        return combine_wide(v, in, inputs, row, out, kind, count);
    if (inputs == 2 && kind != F64 && in[0].kind == kind && in[1].kind == kind &&
        row[0] != 0.0 && row[1] != 0.0)
        return v->combine[kind](in[0].data, in[1].data, (float)row[0], (float)row[1], divisor, out,
                                count, past_caches && (uintptr_t)out % LINE == 0);
    memset(sum, 0, sizeof sum);
    for (int i = 0; i < inputs; i++) {
        if (row[i] == 0.0)
            continue;
        v->weigh[in[i].kind](in[i].data, (float)row[i], how, sum, count);
        how = how == FIRST ? ADDED : how;
    }
    for (int64_t i = 0; divisor != 0.0f && i < count; i++)
        sum[i] /= divisor;
    return pack_any(v, sum, out, kind, count);
}

/* Rounds numbers to a kind and back. */
static void round_numbers(const Variant *v, int kind, float *numbers, int64_t count)
{
    uint8_t rounded[BLOCK * 4];
    if (kind == F32)
        return;
    v->pack[kind](numbers, rounded, count);
    v->weigh[kind](rounded, 1.0f, FIRST, numbers, count);
}

/* The sum of deltas of inputs that have not all the output's kind. */
static int mixed_deltas(const Variant *v, const Numbers *in, int inputs, const double *row,
                        uint8_t *out, int kind, int64_t count)
{
    float base[BLOCK], x[BLOCK], sum[BLOCK];
    float divisor = (float)row[inputs - 1], scale = (float)row[inputs];
    memset(sum, 0, sizeof sum);
    v->weigh[in[0].kind](in[0].data, 1.0f, FIRST, base, count);
    for (int i = 1; i < inputs; i++) {
        float weight = (float)row[i - 1];
        v->weigh[in[i].kind](in[i].data, 1.0f, FIRST, x, count);
        for (int64_t n = 0; n < count; n++)
            x[n] -= base[n];
        round_numbers(v, kind, x, count);
        for (int64_t n = 0; n < count; n++)
            x[n] *= weight;
        round_numbers(v, kind, x, count);
        for (int64_t n = 0; n < count; n++)
            sum[n] += x[n];
    }
    round_numbers(v, kind, sum, count);
    for (int64_t n = 0; divisor != 0.0f && n < count; n++)
        sum[n] /= divisor;
    round_numbers(v, kind, sum, count);
    for (int64_t n = 0; scale != 1.0f && n < count; n++)
        sum[n] *= scale;
    round_numbers(v, kind, sum, count);
    for (int64_t n = 0; n < count; n++)
        sum[n] += base[n];
    return v->pack[kind](sum, out, count);
}

static int block_deltas(const Variant *v, const Numbers *in, int inputs, const double *row,
                        uint8_t *out, int kind, int64_t count, int past_caches)
{
    const uint8_t *data[MAX_INPUTS];
    float narrow[MAX_INPUTS + 1];
    int alike = 1;
    if (kind == F64 || any_wide(in, inputs))
        return deltas_wide(v, in, inputs, row, out, kind, count);
    for (int i = 0; i < inputs; i++) {
        alike = alike && in[i].kind == kind;
        data[i] = in[i].data;
    }
    if (!alike)
        return mixed_deltas(v, in, inputs, row, out, kind, count);
    for (int i = 0; i <= inputs; i++)
        narrow[i] = (float)row[i];
    return v->deltas[kind](data, inputs - 1, narrow, out, count,
                           past_caches && (uintptr_t)out % LINE == 0);
}

typedef int (*BlockFunction)(const Variant *v, const Numbers *in, int inputs, const double *row,
                             uint8_t *out, int kind, int64_t count, int past_caches);

/* Fewer numbers than LANES at the end are padded with zeros. */
static int run_blocks(BlockFunction function, const Variant *v, const Numbers *in, int inputs,
                      const double *sums, int outputs, uint8_t *const *outs, int kind,
                      int64_t count, int past_caches)
{
    Numbers block[MAX_INPUTS];
    uint8_t padded[LANES * 8 * MAX_INPUTS], last[LANES * 8];
    int bad = 0;
    for (int64_t start = 0; start < count;) {
        int64_t left = count - start, size = left < BLOCK ? left / LANES * LANES : BLOCK;
        int partial = size == 0;
        for (int i = 0; i < inputs; i++) {
            block[i] = skip(in[i], start);
            if (partial)
                block[i] = pad(block[i], left, LANES, padded + i * LANES * 8);
        }
        for (int o = 0; o < outputs; o++) {
            uint8_t *out = outs[o] + start * sizes[kind];
            bad |= function(v, block, inputs, sums + o * (inputs + 1), partial ? last : out, kind,
                            partial ? LANES : size, past_caches && !partial);
            if (partial)
                memcpy(out, last, (size_t)(left * sizes[kind]));
        }
        start += partial ? left : size;
    }
    return bad;
}

int combine(const Variant *v, const Numbers *in, int inputs, const double *sums, int outputs,
            uint8_t *const *outs, int kind, int64_t count, int past_caches)
{
    return run_blocks(block_combine, v, in, inputs, sums, outputs, outs, kind, count, past_caches);
}

int deltas(const Variant *v, const Numbers *in, int inputs, const double *sums, int outputs,
           uint8_t *const *outs, int kind, int64_t count, int past_caches)
{
    return run_blocks(block_deltas, v, in, inputs, sums, outputs, outs, kind, count, past_caches);
}
