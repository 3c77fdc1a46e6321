/* The share of the dense terms: so common that a byte per note beats lists of notes. */
#include "engine.h"

#if HAVE_AVX512
#include <immintrin.h>

#define HAVE_TARGET512 (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
#define TARGET512 __attribute__((target("avx512f,avx512bw,avx512vl")))

/* The impacts of frequencies below 32 in a note. */
typedef struct {
    __m512 low, high, norm;
} Table;

/* tf / (tf + norm) within three roundings, without a division, which would dominate the cost. The
 * error bound of the shares (scoring/compiled_scan.py) allows for five. */
TARGET512 static inline __m512 quick_impact(__m512 tf, __m512 norm)
{
    __m512 sum = _mm512_add_ps(tf, norm), inverse = _mm512_rcp14_ps(sum);
    __m512 rest = _mm512_fnmadd_ps(sum, inverse, _mm512_set1_ps(2));
    return _mm512_mul_ps(tf, _mm512_mul_ps(inverse, rest));
}

TARGET512 static inline Table table_of(float norm32)
{
    __m512 t = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512 norm = _mm512_set1_ps(norm32);
    Table table = {quick_impact(t, norm),
                   quick_impact(_mm512_add_ps(t, _mm512_set1_ps(16)), norm), norm};
    return table;
}

TARGET512 static inline __m512 impacts16(const uint8_t *tfs, const Table *table)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)tfs);
    __m512i tf = _mm512_cvtepu8_epi32(bytes);
    __m512 impact = _mm512_permutex2var_ps(table->low, tf, table->high);
    __mmask16 large = _mm_cmpgt_epu8_mask(bytes, _mm_set1_epi8(31));
    if (__builtin_expect(large != 0, 0)) {
        __m512 t = _mm512_cvtepi32_ps(tf);
        impact = _mm512_mask_div_ps(impact, large, t, _mm512_add_ps(t, table->norm));
    }
    return impact;
}

TARGET512 static void share_by_row_512(
    const Segment *s, const float *weights, int64_t first, int64_t size, float *out)
{
    for (int64_t i = 0; i < size; i++) {
        const uint8_t *row = s->dense_rows + (first + i) * s->stride;
        Table table = table_of(s->norm32[first + i]);
        __m512 even = _mm512_setzero_ps(), odd = _mm512_setzero_ps();
        int64_t c = 0;
        for (; c + 32 <= s->stride; c += 32) {
            even = _mm512_fmadd_ps(impacts16(row + c, &table),
                                   _mm512_loadu_ps(weights + c), even);
            odd = _mm512_fmadd_ps(impacts16(row + c + 16, &table),
                                  _mm512_loadu_ps(weights + c + 16), odd);
        }
        for (; c < s->stride; c += 16)
            even = _mm512_fmadd_ps(impacts16(row + c, &table),
                                   _mm512_loadu_ps(weights + c), even);
        out[i] = _mm512_reduce_add_ps(_mm512_add_ps(even, odd));
    }
}

TARGET512 static void dense_impacts_512(
    const Segment *s, int64_t first, int64_t size, float *out)
{
    for (int64_t i = 0; i < size; i++) {
        const uint8_t *row = s->dense_rows + (first + i) * s->stride;
        Table table = table_of(s->norm32[first + i]);
        for (int64_t c = 0; c < s->stride; c += 16)
            _mm512_storeu_ps(out + i * s->stride + c, impacts16(row + c, &table));
    }
}

/* Processes the whole vectors of a block; returns their number of notes. */
TARGET512 static int64_t share_by_column_512(const Segment *s, const uint32_t *columns,
                                             const double *weights, int64_t count, int64_t block,
                                             float *out)
{
    int64_t size = s->block_docs, i = 0;
    const uint8_t *base = s->dense_tfs + block * s->columns * size;
    for (; i + 16 <= size; i += 16) {
        __m512 norm = _mm512_loadu_ps(s->norm32 + block * size + i), share = _mm512_setzero_ps();
        for (int64_t c = 0; c < count; c++) {
            const __m128i *tfs = (const __m128i *)(base + columns[c] * size + i);
            __m512 tf = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(tfs)));
            share = _mm512_fmadd_ps(_mm512_set1_ps((float)weights[c]), quick_impact(tf, norm),
                                    share);
        }
        _mm512_storeu_ps(out + i, share);
    }
    return i;
}
#endif

CLONES static void share_by_row_plain(const Segment *s, const float *weights, int64_t first,
                                      int64_t size, float *out)
{
    for (int64_t i = 0; i < size; i++) {
        const uint8_t *row = s->dense_rows + (first + i) * s->stride;
        float norm = s->norm32[first + i];
        float lanes[16] = {0};
        for (int64_t c = 0; c < s->stride; c += 16)
            for (int l = 0; l < 16; l++) {
                float tf = (float)row[c + l];
                lanes[l] += weights[c + l] * (tf / (tf + norm));
            }
        float share = 0;
        for (int l = 0; l < 16; l++)
            share += lanes[l];
        out[i] = share;
    }
}

CLONES static void dense_impacts_plain(const Segment *s, int64_t first, int64_t size, float *out)
{
    for (int64_t i = 0; i < size; i++) {
        const uint8_t *row = s->dense_rows + (first + i) * s->stride;
        float norm = s->norm32[first + i];
        for (int64_t c = 0; c < s->stride; c++) {
            float tf = (float)row[c];
            out[i * s->stride + c] = tf / (tf + norm);
        }
    }
}

/* The dense share of a query with many dense terms, for `size` notes from `first` on. `weights`
 * has an entry for each dense term, zero if the query lacks it. */
void share_by_row(const Segment *s, const float *weights, int64_t first, int64_t size, float *out)
{
#if HAVE_AVX512
    if (HAVE_TARGET512) {
        share_by_row_512(s, weights, first, size, out);
        return;
    }
#endif
    share_by_row_plain(s, weights, first, size, out);
}

/* Impacts of all dense terms of `size` notes, shape (size, stride). */
void dense_impacts(const Segment *s, int64_t first, int64_t size, float *out)
{
#if HAVE_AVX512
    if (HAVE_TARGET512) {
        dense_impacts_512(s, first, size, out);
        return;
    }
#endif
    dense_impacts_plain(s, first, size, out);
}

CLONES static void share_by_column_plain(const Segment *s, const uint32_t *columns,
                                         const double *weights, int64_t count, int64_t block,
                                         int64_t first, float *out)
{
    int64_t size = s->block_docs;
    const float *norm = s->norm32 + block * size;
    for (int64_t i = first; i < size; i++)
        out[i] = 0;
    for (int64_t c = 0; c < count; c++) {
        const uint8_t *column = s->dense_tfs + (block * s->columns + columns[c]) * size;
        float weight = (float)weights[c];
        for (int64_t i = first; i < size; i++) {
            float tf = (float)column[i];
            out[i] += weight * (tf / (tf + norm[i]));
        }
    }
}

/* The dense share of a query with few dense terms, for a block; reads only their columns. */
void share_by_column(const Segment *s, const uint32_t *columns, const double *weights,
                     int64_t count, int64_t block, float *out)
{
    int64_t done = 0;
#if HAVE_AVX512
    if (HAVE_TARGET512)
        done = share_by_column_512(s, columns, weights, count, block, out);
#endif
    if (done < s->block_docs)
        share_by_column_plain(s, columns, weights, count, block, done, out);
}
