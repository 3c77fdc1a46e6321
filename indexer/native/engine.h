/* The compiled engine: segments, batches of queries and their candidates.
 *
 * Plain C11 over arrays that Python owns; only the `module*.c` files use Python's API. A scan does
 * not allocate memory. Every position read from a file is checked against the size of its array: a
 * damaged file may give wrong scores (its checksums reveal it), never a crash.
 */
#ifndef PATIENTDX_ENGINE_H
#define PATIENTDX_ENGINE_H

#include <stdint.h>

#define KIND_RARE 0
#define KIND_BLOCKED 1
#define KIND_DENSE 2
#define OFFSET_BITS 12
#define OFFSET_MASK 4095
#define MAX_BLOCK 4096
/* An entry of a damaged file may be any 16-bit number: there is an accumulator for each. */
#define ACCUMULATORS 65536
#define ENTRY_TF_MAX 16
#define BYTE_TF_MAX 255

/* Compiles a function for newer processors too; the loader selects the version at start. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__GLIBC__)
#define CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#define HAVE_AVX512 1
#else
#define CLONES
#define HAVE_AVX512 0
#endif

#if defined(__GNUC__)
#define PREFETCH(address) __builtin_prefetch(address)
#else
#define PREFETCH(address) ((void)(address))
#endif

/* See docs/method/index-format.md; `norm`, `unit` = 1 / (1 + norm), `twice` = 2 (1 + norm) /
 * (2 + norm) and `norm32` (never zero) are padded to whole blocks plus MAX_BLOCK. */
typedef struct {
    int64_t notes, block_docs, blocks, terms, rows, columns, stride, larges;
    const uint32_t *df;
    const uint8_t *kind;
    const int64_t *place;
    const uint32_t *rare_notes;
    const uint8_t *rare_tfs;
    const uint16_t *entries;
    const uint32_t *pointers; /* (blocks, 3 * rows + 1) */
    const int64_t *base;      /* (blocks) */
    const uint8_t *dense_tfs; /* (blocks, columns, block_docs) */
    const uint8_t *dense_rows; /* (notes, stride) */
    const uint64_t *large_keys;
    const uint32_t *large_values;
    const double *norm, *unit, *twice;
    const float *norm32, *unit32;
    const uint32_t *rank; /* rank of each note's id: the higher one wins a tie */
} Segment;

/* The notes that may reach the top k of a query. */
typedef struct {
    int64_t count;
    double threshold, error;
    int overflow; /* more ties than the table holds: NumPy must score the query */
    uint32_t *notes;
    double *sparse, *approximate;
} Candidates;

/* Query q has the terms starts[q] to starts[q + 1]; in `order` the blocked ones come first, then
 * the dense, then the rare ones. Its rare postings in block b start at
 * rare_pointers[q * (blocks + 1) + b]. */
typedef struct {
    int64_t queries, k, capacity;
    const int64_t *starts, *numbers;
    const double *weights;
    int64_t *order;      /* terms of each query by kind: positions in `numbers` */
    int64_t *kind_ends;  /* (queries, 3) ends of each kind in `order` */
    uint32_t *slot;      /* row or column of each blocked or dense term, in the order of `order` */
    double *weight;      /* weights in the order of `order` */
    int64_t *rare_pointers;
    uint32_t *rare_at;
    double *rare_values;
    const uint8_t *allowed; /* or NULL */
    Candidates *candidates;
} Batch;

/* dense.c */
void share_by_row(const Segment *s, const float *weights, int64_t first, int64_t size, float *out);
void share_by_column(const Segment *s, const uint32_t *columns, const double *weights,
                     int64_t count, int64_t block, float *out);
void dense_impacts(const Segment *s, int64_t first, int64_t size, float *out);

/* frequency.c */
double large_frequency(const Segment *s, int64_t number, int64_t note);
double canonical_score(const Segment *s, const Batch *b, int64_t q, int64_t note);

/* scan.c */
void order_terms(const Segment *s, Batch *b);
int64_t rare_total(const Segment *s, const Batch *b);
void rare_postings(const Segment *s, Batch *b);
void scan_block(const Segment *s, Batch *b, int64_t q, int64_t block, const float *share,
                double *acc);

/* candidates.c */
void prune_candidates(Candidates *candidates, int64_t k);
int64_t rank_candidates(const Segment *s, Batch *b, int64_t q, uint32_t *notes, float *scores);

/* text.c */
#define BEYOND_BMP 0x10000u /* any character beyond the basic multilingual plane */
#define NEEDS_PYTHON 0xFFFF /* in `fold`: lower case that is longer or depends on neighbours */

typedef struct {
    const uint16_t *fold; /* (65536): lower case of each word character, 0 for other characters */
    int64_t slots, words, capacity, used, arena_size;
    int64_t *offsets;
    uint64_t *table, *hashes;
    uint8_t *arena;
} WordTable;

int words_reserve(WordTable *t, int64_t bytes);
int needs_python(const WordTable *t, const uint8_t *data, int64_t size);
int64_t split_note(WordTable *t, const uint8_t *data, int64_t size, int32_t *words);
int64_t count_terms(const int32_t *words, const int64_t *starts, int64_t notes,
                    const int32_t *term_of_word, int64_t *place, uint32_t *out_terms,
                    uint32_t *out_tfs, int64_t *bounds, uint32_t *lengths);

/* build.c */
void sort_by_term(const uint32_t *terms, const uint32_t *tfs, const int64_t *bounds,
                  int64_t notes, int64_t *starts, int64_t distinct, uint16_t *out_notes,
                  uint32_t *out_tfs);
void encode_blocked(const int32_t *rows, const int64_t *starts, int64_t terms,
                   const uint16_t *notes, const uint32_t *tfs, int64_t block_docs, int64_t blocks,
                   int64_t count, int64_t *counts, uint32_t *pointers, uint16_t *entries);
#endif
