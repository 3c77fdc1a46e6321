/* One block in float64: tensors of float64, and blocks whose squares float32 cannot hold. */
#include "merge.h"

void unpack_wide(const Variant *v, Numbers in, int64_t count, double *out)
{
    float narrow[BLOCK];
    if (in.kind == F64) {
        memcpy(out, in.data, (size_t)count * sizeof *out);
        return;
    }
    v->weigh[in.kind](in.data, 1.0f, FIRST, narrow, count);
    for (int64_t i = 0; i < count; i++)
        out[i] = narrow[i];
}

static double fold_lanes(double *lanes)
{
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++)
            lanes[i] += lanes[i + half];
    return lanes[0];
}

void moments_wide(const Variant *v, Numbers a, Numbers b, int64_t count, double *sums)
{
    double x[BLOCK], y[BLOCK], lanes[3][LANES] = {{0}};
    unpack_wide(v, a, count, x);
    unpack_wide(v, b, count, y);
    for (int64_t at = 0; at < count; at += LANES)
        for (int i = 0; i < LANES; i++) {
            lanes[0][i] += x[at + i] * x[at + i];
            lanes[1][i] += y[at + i] * y[at + i];
            lanes[2][i] += x[at + i] * y[at + i];
        }
    for (int i = 0; i < 3; i++)
        sums[i] = fold_lanes(lanes[i]);
}

/* Halves are rounded by way of float32, as PyTorch does. */
int pack_wide(const Variant *v, const double *in, uint8_t *out, int kind, int64_t count)
{
    float narrow[BLOCK];
    if (kind == F64) {
        int bad = 0;
        for (int64_t i = 0; i < count; i++)
            bad |= !(in[i] - in[i] == 0.0);
        memcpy(out, in, (size_t)count * sizeof *in);
        return bad;
    }
    for (int64_t i = 0; i < count; i++)
        narrow[i] = (float)in[i];
    return v->pack[kind](narrow, out, count);
}

int combine_wide(const Variant *v, const Numbers *in, int inputs, const double *row,
                 uint8_t *out, int kind, int64_t count)
{
    double x[BLOCK], sum[BLOCK], divisor = row[inputs];
    int first = divisor == 0.0;
    memset(sum, 0, sizeof sum);
    for (int i = 0; i < inputs; i++) {
        if (row[i] == 0.0)
            continue;
        unpack_wide(v, in[i], count, x);
        for (int64_t n = 0; n < count; n++)
            sum[n] = first ? row[i] * x[n] : sum[n] + row[i] * x[n];
        first = 0;
    }
    for (int64_t n = 0; divisor != 0.0 && n < count; n++)
        sum[n] /= divisor;
    return pack_wide(v, sum, out, kind, count);
}

int deltas_wide(const Variant *v, const Numbers *in, int inputs, const double *row, uint8_t *out,
                int kind, int64_t count)
{
    double base[BLOCK], x[BLOCK], sum[BLOCK], divisor = row[inputs - 1], scale = row[inputs];
    memset(sum, 0, sizeof sum);
    unpack_wide(v, in[0], count, base);
    for (int i = 1; i < inputs; i++) {
        unpack_wide(v, in[i], count, x);
        for (int64_t n = 0; n < count; n++)
            sum[n] += (x[n] - base[n]) * row[i - 1];
    }
    for (int64_t n = 0; n < count; n++) {
        double delta = divisor != 0.0 ? sum[n] / divisor : sum[n];
        sum[n] = base[n] + (scale != 1.0 ? delta * scale : delta);
    }
    return pack_wide(v, sum, out, kind, count);
}
