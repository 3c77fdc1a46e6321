/* Counting sorts of postings, used to build an index. Both are stable. Their counterparts in NumPy
 * are in `segments/postings.py` and `segments/block_writer.py`. */
#include <string.h>

#include "engine.h"

/* Sorts postings by term; the notes of a term stay in order.
 *
 * `bounds` delimits the postings of each note. `starts` has distinct + 1 zeros and receives the
 * end of the postings of each term.
 */
void sort_by_term(const uint32_t *terms, const uint32_t *tfs, const int64_t *bounds,
                  int64_t notes, int64_t *starts, int64_t distinct, uint16_t *out_notes,
                  uint32_t *out_tfs)
{
    for (int64_t p = 0; p < bounds[notes]; p++)
        starts[terms[p] + 1]++;
    for (int64_t t = 0; t < distinct; t++)
        starts[t + 1] += starts[t];
    for (int64_t note = 0; note < notes; note++)
        for (int64_t p = bounds[note]; p < bounds[note + 1]; p++) {
            int64_t slot = starts[terms[p]]++;
            out_notes[slot] = (uint16_t)note;
            out_tfs[slot] = tfs[p];
        }
}

/* Class of a frequency: 0 for one occurrence, 1 for two, 2 for more. */
static int64_t frequency_class(uint32_t tf) { return tf < 3 ? (int64_t)tf - 1 : 2; }

/* Encodes the blocked postings of a run as 16-bit entries, sorted by block, row, frequency class
 * and note.
 *
 * Term t of the run has the row rows[t] (-1: not a blocked term) and the postings from starts[t]
 * on. `pointers` (blocks, 3 * count + 1) receives, for each block and row, the start of the entries
 * of each frequency class. `counts` has 3 * blocks * count + 1 zeros.
 */
void encode_blocked(const int32_t *rows, const int64_t *starts, int64_t terms,
                   const uint16_t *notes, const uint32_t *tfs, int64_t block_docs, int64_t blocks,
                   int64_t count, int64_t *counts, uint32_t *pointers, uint16_t *entries)
{
    for (int64_t t = 0; t < terms; t++)
        for (int64_t p = starts[t]; rows[t] >= 0 && p < starts[t + 1]; p++)
            counts[3 * (notes[p] / block_docs * count + rows[t]) + frequency_class(tfs[p]) + 1]++;
    for (int64_t g = 0; g < 3 * blocks * count; g++)
        counts[g + 1] += counts[g];
    for (int64_t block = 0; block < blocks; block++) {
        uint32_t *own = pointers + block * (3 * count + 1);
        const int64_t *from = counts + 3 * block * count;
        for (int64_t g = 0; g <= 3 * count; g++)
            own[g] = (uint32_t)(from[g] - from[0]);
    }
    for (int64_t t = 0; t < terms; t++)
        for (int64_t p = starts[t]; rows[t] >= 0 && p < starts[t + 1]; p++) {
            int64_t block = notes[p] / block_docs;
            uint32_t field = (tfs[p] < ENTRY_TF_MAX ? tfs[p] : ENTRY_TF_MAX) - 1;
            int64_t slot = counts[3 * (block * count + rows[t]) + frequency_class(tfs[p])]++;
            entries[slot] = (uint16_t)(field << OFFSET_BITS | (notes[p] - block * block_docs));
        }
}
