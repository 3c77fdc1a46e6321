/* The scan of a segment, block by block: the accumulators stay in the first-level cache and, for
 * a batch of queries, the postings of a block in the second.
 *
 * With norm(d) of bm25.py and
 *
 *     unit(d) = 1 / (1 + norm(d))                impact of a term that occurs once
 *     tf / (tf + norm) = unit * tf * (1 + norm) / (tf + norm)
 *
 * an accumulator holds a sum divided by unit(d): a term that occurs once adds its bare weight, and
 * a final multiplication per note gives the score. That share has float64 precision. The share of
 * the dense terms is a float32 approximation with a known error bound; notes that may still reach
 * the top k become candidates (candidates.c).
 */
#include <string.h>

#include "engine.h"

#if HAVE_AVX512
#include <immintrin.h>
#endif

/* Postings are prefetched this many terms ahead: they are short runs in distant places, so a scan
 * would spend its time waiting for memory. */
#define PREFETCH_TERMS 8
#define PREFETCH_BYTES 384

static double relative_impact(double tf, double norm) { return tf * (1.0 + norm) / (tf + norm); }

/* Orders the terms of each query by kind. */
void order_terms(const Segment *s, Batch *b)
{
    static const uint8_t kinds[3] = {KIND_BLOCKED, KIND_DENSE, KIND_RARE};
    for (int64_t q = 0; q < b->queries; q++) {
        int64_t at = b->starts[q];
        for (int k = 0; k < 3; k++) {
            for (int64_t t = b->starts[q]; t < b->starts[q + 1]; t++)
                if (s->kind[b->numbers[t]] == kinds[k]) {
                    b->order[at] = t;
                    b->weight[at] = b->weights[t];
                    b->slot[at++] = kinds[k] == KIND_RARE ? 0 : (uint32_t)s->place[b->numbers[t]];
                }
            b->kind_ends[3 * q + k] = at;
        }
    }
}

/* Number of rare postings of all queries of a batch. */
int64_t rare_total(const Segment *s, const Batch *b)
{
    int64_t total = 0;
    for (int64_t q = 0; q < b->queries; q++)
        for (int64_t i = b->kind_ends[3 * q + 1]; i < b->kind_ends[3 * q + 2]; i++)
            total += s->df[b->numbers[b->order[i]]];
    return total;
}

/* Note numbers out of range occur in damaged files only; they must not lead out of arrays. */
static int64_t rare_note(const Segment *s, int64_t p)
{
    int64_t note = s->rare_notes[p], last = s->blocks * s->block_docs - 1;
    return note < last ? note : last;
}

/* Fills in the rare postings of a batch, sorted by block (counting sort). */
void rare_postings(const Segment *s, Batch *b)
{
    int64_t first = 0;
    for (int64_t q = 0; q < b->queries; q++) {
        int64_t *cursor = b->rare_pointers + q * (s->blocks + 1);
        int64_t from = b->kind_ends[3 * q + 1], to = b->kind_ends[3 * q + 2];
        memset(cursor, 0, (size_t)(s->blocks + 1) * sizeof *cursor);
        for (int64_t i = from; i < to; i++) {
            int64_t number = b->numbers[b->order[i]], place = s->place[number];
            for (int64_t p = place; p < place + s->df[number]; p++)
                cursor[rare_note(s, p) / s->block_docs]++;
        }
        for (int64_t block = 0; block <= s->blocks; block++) {
            int64_t count = cursor[block];
            cursor[block] = first;
            first += count;
        }
        for (int64_t i = from; i < to; i++) {
            int64_t number = b->numbers[b->order[i]], place = s->place[number];
            for (int64_t p = place; p < place + s->df[number]; p++) {
                int64_t note = rare_note(s, p), slot = cursor[note / s->block_docs]++;
                double tf = s->rare_tfs[p];
                if (tf == BYTE_TF_MAX)
                    tf = large_frequency(s, number, note);
                b->rare_at[slot] = (uint32_t)note;
                b->rare_values[slot] = b->weight[i] * relative_impact(tf, s->norm[note]);
            }
        }
        /* Each cursor is now at the end of its block, which is the start of the next. */
        memmove(cursor + 1, cursor, (size_t)s->blocks * sizeof *cursor);
        cursor[0] = q ? b->rare_pointers[q * (s->blocks + 1) - 1] : 0;
    }
}

/* Adds a term that occurs once; reads four entries at a time. */
static void add_once(const uint16_t *entries, int64_t count, double weight, double *acc)
{
    int64_t p = 0;
    for (; p + 4 <= count; p += 4) {
        acc[entries[p]] += weight;
        acc[entries[p + 1]] += weight;
        acc[entries[p + 2]] += weight;
        acc[entries[p + 3]] += weight;
    }
    for (; p < count; p++)
        acc[entries[p]] += weight;
}

static void add_twice(const uint16_t *entries, int64_t count, double weight, const double *twice,
                      double *acc)
{
    for (int64_t p = 0; p < count; p++) {
        int64_t offset = entries[p] & OFFSET_MASK;
        acc[offset] += weight * twice[offset];
    }
}

static void add_often(const Segment *s, const uint16_t *entries, int64_t count, int64_t number,
                      double weight, int64_t first, double *acc)
{
    for (int64_t p = 0; p < count; p++) {
        int64_t offset = entries[p] & OFFSET_MASK;
        double tf = (double)((entries[p] >> OFFSET_BITS) + 1);
        if (tf == ENTRY_TF_MAX)
            tf = large_frequency(s, number, first + offset);
        acc[offset] += weight * relative_impact(tf, s->norm[first + offset]);
    }
}

/* Adds the blocked and rare terms of query q to the accumulators of a block. */
static void add_postings(const Segment *s, const Batch *b, int64_t q, int64_t block, double *acc)
{
    int64_t first = block * s->block_docs, end = b->kind_ends[3 * q];
    const uint32_t *pointers = s->pointers + block * (3 * s->rows + 1);
    const uint16_t *entries = s->entries + s->base[block];
    for (int64_t i = b->starts[q]; i < end; i++) {
        if (i + PREFETCH_TERMS < end) {
            const char *next = (const char *)(entries + pointers[3 * b->slot[i + PREFETCH_TERMS]]);
            for (int line = 0; line < PREFETCH_BYTES; line += 64)
                PREFETCH(next + line);
        }
        const uint32_t *own = pointers + 3 * b->slot[i];
        double weight = b->weight[i];
        add_once(entries + own[0], own[1] - own[0], weight, acc);
        add_twice(entries + own[1], own[2] - own[1], weight, s->twice + first, acc);
        add_often(s, entries + own[2], own[3] - own[2], b->numbers[b->order[i]], weight, first,
                  acc);
    }
    const int64_t *rare = b->rare_pointers + q * (s->blocks + 1) + block;
    for (int64_t p = rare[0]; p < rare[1]; p++)
        acc[b->rare_at[p] - first] += b->rare_values[p];
}

/* Resets the accumulator of a note; adds it to the candidates if it reaches the threshold. */
static void take_touched(const Segment *s, const Batch *b, Candidates *candidates, int64_t first,
                         int64_t size, int64_t offset, double *acc)
{
    double value = acc[offset];
    if (value == 0 || offset >= size)
        return;
    acc[offset] = 0;
    double score = value * s->unit[first + offset];
    if (score >= candidates->threshold && (!b->allowed || b->allowed[first + offset])) {
        candidates->notes[candidates->count] = (uint32_t)(first + offset);
        candidates->sparse[candidates->count] = candidates->approximate[candidates->count] = score;
        candidates->count++;
    }
}

/* Collects candidates among the notes that `add_postings` touched, for queries that touch few. */
static void collect_touched(const Segment *s, const Batch *b, int64_t q, int64_t block,
                            int64_t size, double *acc)
{
    int64_t first = block * s->block_docs;
    const uint32_t *pointers = s->pointers + block * (3 * s->rows + 1);
    const uint16_t *entries = s->entries + s->base[block];
    for (int64_t i = b->starts[q]; i < b->kind_ends[3 * q]; i++) {
        const uint32_t *own = pointers + 3 * b->slot[i];
        for (int64_t p = own[0]; p < own[3]; p++)
            take_touched(s, b, b->candidates + q, first, size, entries[p] & OFFSET_MASK, acc);
    }
    const int64_t *rare = b->rare_pointers + q * (s->blocks + 1) + block;
    for (int64_t p = rare[0]; p < rare[1]; p++)
        take_touched(s, b, b->candidates + q, first, size, b->rare_at[p] - first, acc);
}

/* Adds a note to the candidates, with its exact sparse share, unless the filter excludes it. */
static void add_candidate(const Segment *s, const Batch *b, Candidates *candidates, int64_t note,
                          double sum, double score)
{
    if (b->allowed && !b->allowed[note])
        return;
    candidates->notes[candidates->count] = (uint32_t)note;
    candidates->sparse[candidates->count] = sum * s->unit[note];
    candidates->approximate[candidates->count++] = score;
}

#if HAVE_AVX512
__attribute__((target("avx512f"))) static int64_t sweep_block_512(const Segment *s, const Batch *b,
                                                            Candidates *candidates, int64_t first,
                                                            int64_t size, const float *share,
                                                            double *acc)
{
    const float *unit = s->unit32 + first;
    __m512d threshold = _mm512_set1_pd(candidates->threshold);
    int64_t i = 0;
    for (; i + 8 <= size; i += 8) {
        __m512d sum = _mm512_loadu_pd(acc + i), score;
        score = _mm512_mul_pd(sum, _mm512_cvtps_pd(_mm256_loadu_ps(unit + i)));
        if (share)
            score = _mm512_add_pd(score, _mm512_cvtps_pd(_mm256_loadu_ps(share + i)));
        unsigned above = _mm512_cmp_pd_mask(score, threshold, _CMP_GE_OQ);
        if (__builtin_expect(above != 0, 0)) {
            double scores[8];
            _mm512_storeu_pd(scores, score);
            for (; above; above &= above - 1) {
                int lane = __builtin_ctz(above);
                add_candidate(s, b, candidates, first + i + lane, acc[i + lane], scores[lane]);
            }
        }
        _mm512_storeu_pd(acc + i, _mm512_setzero_pd());
    }
    return i;
}
#endif

/* Collects candidates among all notes of a block, and resets the accumulators. Scores are computed
 * with float32 units; the threshold allows for their error. */
static void sweep_block(const Segment *s, const Batch *b, Candidates *candidates, int64_t first,
                  int64_t size, const float *share, double *acc)
{
    int64_t i = 0;
#if HAVE_AVX512
    if (__builtin_cpu_supports("avx512f"))
        i = sweep_block_512(s, b, candidates, first, size, share, acc);
#endif
    for (; i < size; i++) {
        double score = acc[i] * s->unit32[first + i] + (share ? share[i] : 0.0f);
        if (score >= candidates->threshold)
            add_candidate(s, b, candidates, first + i, acc[i], score);
        acc[i] = 0;
    }
}

/* True if a query has no dense term and at most a posting for every fourth note. */
static int touches_few(const Segment *s, const Batch *b, int64_t q)
{
    if (b->kind_ends[3 * q + 1] > b->kind_ends[3 * q])
        return 0;
    int64_t postings = 0;
    for (int64_t t = b->starts[q]; t < b->starts[q + 1]; t++)
        postings += s->df[b->numbers[t]];
    return 4 * postings <= s->notes;
}

/* Scans a block for query q. `share` is the dense share, or NULL if there is none. `acc` has
 * ACCUMULATORS zeros and is all zero again afterwards. */
void scan_block(const Segment *s, Batch *b, int64_t q, int64_t block, const float *share,
                double *acc)
{
    Candidates *candidates = b->candidates + q;
    int64_t first = block * s->block_docs, rest = s->notes - first;
    int64_t size = rest < s->block_docs ? rest : s->block_docs;
    if (candidates->overflow || (b->allowed && !memchr(b->allowed + first, 1, (size_t)size)))
        return;
    if (candidates->count + size > b->capacity) {
        prune_candidates(candidates, b->k);
        if (candidates->count + size > b->capacity) {
            candidates->overflow = 1;
            return;
        }
    }
    add_postings(s, b, q, block, acc);
    if (!share && touches_few(s, b, q))
        collect_touched(s, b, q, block, size, acc);
    else
        sweep_block(s, b, candidates, first, size, share, acc);
}
