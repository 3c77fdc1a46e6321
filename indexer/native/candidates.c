/* Candidates: dropping those that cannot reach the top k, and exact scores of the others. */
#include <stdlib.h>

#include "engine.h"

#define EPSILON 0x1p-52
#define BUCKETS 2048

/* A lower bound of the k-th largest value, from a histogram: the lower end of its bucket. */
static double lower_bound_of_kth(const double *values, int64_t count, int64_t k)
{
    uint32_t buckets[BUCKETS] = {0};
    double low = values[0], high = values[0];
    for (int64_t i = 1; i < count; i++) {
        low = values[i] < low ? values[i] : low;
        high = values[i] > high ? values[i] : high;
    }
    double scale = (BUCKETS - 1) / (high - low);
    if (!(scale < 1e300))
        return low;
    for (int64_t i = 0; i < count; i++)
        buckets[(int)((values[i] - low) * scale)]++;
    int64_t reached = 0;
    int bucket = BUCKETS;
    while (reached < k)
        reached += buckets[--bucket];
    /* Rounding may have put a value into the next higher bucket. */
    return bucket ? low + (bucket - 1e-6) / scale : low;
}

/* Raises the threshold as far as the k-th candidate allows, and drops those below it. */
void prune_candidates(Candidates *candidates, int64_t k)
{
    if (candidates->count < k)
        return;
    double kth = lower_bound_of_kth(candidates->approximate, candidates->count, k);
    /* Two errors of the approximation (dense shares and float32 units), and scores that become
     * equal by rounding to float32: 2^-24 each. */
    double threshold = kth - 2.0 * candidates->error - kth * 0x1p-21;
    if (threshold > candidates->threshold)
        candidates->threshold = threshold;
    int64_t kept = 0;
    for (int64_t i = 0; i < candidates->count; i++) {
        candidates->notes[kept] = candidates->notes[i];
        candidates->sparse[kept] = candidates->sparse[i];
        candidates->approximate[kept] = candidates->approximate[i];
        kept += candidates->approximate[i] >= candidates->threshold;
    }
    candidates->count = kept;
}

/* The dense share of a note in float64. Impacts of frequencies below 16 are tabulated. */
static double dense_share(const Segment *s, const Batch *b, int64_t q, int64_t note)
{
    /* Even where norm(d) is zero, a frequency of 0 has the impact 0; others then have 1. */
    double norm = s->norm[note] > 1e-300 ? s->norm[note] : 1e-300, table[16];
    for (int tf = 0; tf < 16; tf++)
        table[tf] = tf / (tf + norm);
    const uint8_t *row = s->dense_rows + note * s->stride;
    double shares[4] = {0, 0, 0, 0};
    for (int64_t i = b->kind_ends[3 * q]; i < b->kind_ends[3 * q + 1]; i++) {
        uint8_t field = row[b->slot[i]];
        double impact = table[field & 15];
        if (field > 15) {
            double tf = field;
            if (field == BYTE_TF_MAX)
                tf = large_frequency(s, b->numbers[b->order[i]], note);
            impact = tf / (tf + norm);
        }
        shares[i & 3] += b->weight[i] * impact;
    }
    return (shares[0] + shares[1]) + (shares[2] + shares[3]);
}

typedef struct {
    uint64_t key;
    uint32_t note;
} Ranked;

/* Sorts by key in descending order: insertion sort for few entries, else radix sort. */
static void sort_ranked(Ranked *ranked, Ranked *other, int64_t count)
{
    if (count <= 48) {
        for (int64_t i = 1; i < count; i++) {
            Ranked entry = ranked[i];
            int64_t j = i;
            for (; j > 0 && ranked[j - 1].key < entry.key; j--)
                ranked[j] = ranked[j - 1];
            ranked[j] = entry;
        }
        return;
    }
    for (int shift = 0; shift < 64; shift += 8) {
        int64_t places[256] = {0}, place = 0;
        for (int64_t i = 0; i < count; i++)
            places[255 - (ranked[i].key >> shift & 255)]++;
        for (int digit = 0; digit < 256; digit++) {
            int64_t size = places[digit];
            places[digit] = place;
            place += size;
        }
        for (int64_t i = 0; i < count; i++)
            other[places[255 - (ranked[i].key >> shift & 255)]++] = ranked[i];
        Ranked *swap = ranked;
        ranked = other;
        other = swap;
    }
}

/* Sort key of a note. The bits of positive float32 values sort as the values do; the higher id
 * wins a tie. */
static uint64_t key_of(const Segment *s, float score, uint32_t note)
{
    union {
        float value;
        uint32_t bits;
    } converted = {score};
    return ((uint64_t)converted.bits << 32) | s->rank[note];
}

/* Writes the top k of query q, best first, with exact scores; returns their number.
 *
 * A score is the float64 sum in canonical order, rounded to float32: where the order of summation
 * could change the rounding, the sum is repeated in that order. `notes` and `scores` have room for
 * k. Returns -1 if memory ran out.
 */
int64_t rank_candidates(const Segment *s, Batch *b, int64_t q, uint32_t *notes, float *scores)
{
    Candidates *candidates = b->candidates + q;
    prune_candidates(candidates, b->k);
    Ranked *ranked = malloc(2 * (size_t)(candidates->count + 1) * sizeof *ranked);
    if (!ranked)
        return -1;
    int64_t dense = b->kind_ends[3 * q + 1] - b->kind_ends[3 * q];
    double slack = (double)(b->starts[q + 1] - b->starts[q] + 16) * EPSILON;
    for (int64_t i = 0; i < candidates->count; i++) {
        uint32_t note = candidates->notes[i];
        if (dense && i + 4 < candidates->count) {
            const uint8_t *next = s->dense_rows + (int64_t)candidates->notes[i + 4] * s->stride;
            PREFETCH(next);
            PREFETCH(next + 64);
            PREFETCH(s->norm + candidates->notes[i + 4]);
        }
        double score = candidates->sparse[i] + (dense ? dense_share(s, b, q, note) : 0.0);
        float rounded = (float)score;
        if ((float)(score * (1.0 - slack)) != (float)(score * (1.0 + slack)))
            rounded = (float)canonical_score(s, b, q, note);
        ranked[i].key = key_of(s, rounded, note);
        ranked[i].note = note;
    }
    sort_ranked(ranked, ranked + candidates->count, candidates->count);
    int64_t count = candidates->count < b->k ? candidates->count : b->k;
    for (int64_t i = 0; i < count; i++) {
        union {
            uint32_t bits;
            float value;
        } score = {(uint32_t)(ranked[i].key >> 32)};
        notes[i] = ranked[i].note;
        scores[i] = score.value;
    }
    free(ranked);
    return count;
}
