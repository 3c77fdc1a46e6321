/* Frequencies of single postings, and scores by definition. */
#include "engine.h"

/* The frequency of a posting that is too large for its field, from the side table; 1 if a damaged
 * file lacks it. */
double large_frequency(const Segment *s, int64_t number, int64_t note)
{
    uint64_t key = ((uint64_t)number << 32) | (uint64_t)note;
    int64_t low = 0, high = s->larges;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (s->large_keys[middle] < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low < s->larges ? (double)s->large_values[low] : 1.0;
}

static double rare_frequency(const Segment *s, int64_t number, int64_t note)
{
    int64_t low = s->place[number], end = low + s->df[number], high = end;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (s->rare_notes[middle] < note)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == end || s->rare_notes[low] != note)
        return 0.0;
    uint8_t tf = s->rare_tfs[low];
    return tf == BYTE_TF_MAX ? large_frequency(s, number, note) : tf;
}

static double blocked_frequency(const Segment *s, int64_t number, int64_t note)
{
    int64_t block = note / s->block_docs, offset = note % s->block_docs;
    const uint32_t *pointers = s->pointers + block * (3 * s->rows + 1) + 3 * s->place[number];
    const uint16_t *entries = s->entries + s->base[block];
    for (int64_t p = pointers[0]; p < pointers[3]; p++)
        if ((entries[p] & OFFSET_MASK) == offset) {
            int tf = (entries[p] >> OFFSET_BITS) + 1;
            return tf == ENTRY_TF_MAX ? large_frequency(s, number, note) : tf;
        }
    return 0.0;
}

static double frequency(const Segment *s, int64_t number, int64_t note)
{
    if (s->kind[number] == KIND_RARE)
        return rare_frequency(s, number, note);
    if (s->kind[number] == KIND_BLOCKED)
        return blocked_frequency(s, number, note);
    uint8_t tf = s->dense_rows[note * s->stride + s->place[number]];
    return tf == BYTE_TF_MAX ? large_frequency(s, number, note) : tf;
}

/* The score by definition: summed in float64, terms in canonical order. */
double canonical_score(const Segment *s, const Batch *b, int64_t q, int64_t note)
{
    double total = 0;
    for (int64_t t = b->starts[q]; t < b->starts[q + 1]; t++) {
        double tf = frequency(s, b->numbers[t], note);
        if (tf > 0)
            total += b->weights[t] * (tf / (tf + s->norm[note]));
    }
    return total;
}
