/* The compiled merge kernels: sums of products of two tensors, weighted sums of several, and a base
 * with weighted differences from it.
 *
 * C11 over bytes that Python owns, as in a safetensors file: little-endian numbers at any address.
 * Every variant gives the same bits, and so does NumPy (numpy_kernels.py), because the order of
 * additions is part of the definition:
 *
 * - a tensor is cut into chunks of 256 blocks of 4,096 numbers, the last block padded with zeros;
 * - number i of a block adds to lane i mod 32, in float32; the lanes are added in float64, the
 *   upper half to the lower one five times;
 * - a block whose sum of squares leaves [FLOOR, CEILING] is summed again in float64;
 * - sums of blocks are added in order in float64, then sums of chunks.
 *
 * A weighted sum with a divisor of 0 rounds every product and every sum to float32, as MergeKit's
 * SLERP does. With any other divisor it begins with +0, adds every product unrounded (a fused
 * multiply-add) and is divided at the end, as MergeKit's linear method does. If an input is
 * float64, so is all arithmetic, and every product is rounded.
 *
 * A sum of deltas is what MergeKit's task arithmetic computes. Every difference from the base, every
 * product of a difference and a weight, their sum, the sum divided and the sum scaled are rounded to
 * the output's kind, then base and sum are added. The sum itself begins with +0 and is float32. If
 * an input or the output is float64, all of it is float64.
 */
#ifndef PATIENTDX_MERGE_H
#define PATIENTDX_MERGE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define BLOCK 4096
#define CHUNK 256 /* blocks */
#define LANES 32
#define MAX_INPUTS 64

/* Outside this range, squares or their sums may round to zero or infinity in float32. */
#define FLOOR 1e-30
#define CEILING 1e36

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "safetensors files are little-endian"
#endif

#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
#elif defined(_MSC_VER)
#define INLINE static __forceinline
#else
#define INLINE static inline
#endif

#if defined(__GNUC__) && defined(__x86_64__)
#define HAVE_AVX 1
#else
#define HAVE_AVX 0
#endif

/* Bytes by which inputs are prefetched, because one core has too few loads in flight to keep memory
 * busy. Prefetching beyond the end of an array is allowed, and does nothing. */
#define AHEAD 2048
#define LINE 64 /* bytes of a cache */
#if defined(__GNUC__)
#define PREFETCH(address) __builtin_prefetch(address)
#else
#define PREFETCH(address) ((void)0)
#endif

/* Kinds of numbers; the first three have kernels of their own. */
enum { BF16, F16, F32, F64, KINDS };

typedef struct {
    const uint8_t *data;
    int kind;
} Numbers;

/* Kernels over at most one block, for BF16, F16 and F32; `count` is a multiple of LANES. Those
 * that write return 0 if everything that they wrote is finite. */
typedef struct {
    const char *name;
    void (*moments[3])(const uint8_t *a, const uint8_t *b, double *sums);
    int (*combine[3])(const uint8_t *a, const uint8_t *b, float wa, float wb, float divisor,
                      uint8_t *out, int64_t count, int past_caches);
    int (*deltas[3])(const uint8_t *const *in, int others, const float *row, uint8_t *out,
                     int64_t count, int past_caches);
    void (*weigh[3])(const uint8_t *in, float weight, int how, float *sum, int64_t count);
    int (*pack[3])(const float *in, uint8_t *out, int64_t count);
} Variant;

/* How `weigh` changes a sum: replaces it by the product, adds the rounded product, or adds the
 * product unrounded. */
enum { FIRST, ADDED, FUSED };

extern const Variant plain_variant;
#if HAVE_AVX
extern const Variant avx2_variant, avx512_variant;
#endif

/* Bytes of a number of each kind. */
extern const int64_t sizes[KINDS];

/* drive.c */
/* sums: (chunks, 3) sums of a*a, b*b and a*b. */
void moments(const Variant *v, Numbers a, Numbers b, int64_t count, double *sums);
/* outs[o] = the sum over inputs i of row[i] * in[i], where row is row o of sums, which has
 * inputs + 1 columns, the last with the divisor. Returns 0 if all is finite. With `past_caches`,
 * outputs bypass the caches, as they are not read soon. */
int combine(const Variant *v, const Numbers *in, int inputs, const double *sums, int outputs,
            uint8_t *const *outs, int kind, int64_t count, int past_caches);
/* The same, where in[0] is the base, and a row has the weights of the other inputs, a divisor (0:
 * none) and a scale (1: none), all of the output's kind but the scale. */
int deltas(const Variant *v, const Numbers *in, int inputs, const double *sums, int outputs,
           uint8_t *const *outs, int kind, int64_t count, int past_caches);

/* wide.c: the same for one block in float64; `pack_wide` needs no multiple of LANES. */
void unpack_wide(const Variant *v, Numbers in, int64_t count, double *out);
void moments_wide(const Variant *v, Numbers a, Numbers b, int64_t count, double *sums);
int combine_wide(const Variant *v, const Numbers *in, int inputs, const double *row,
                 uint8_t *out, int kind, int64_t count);
int deltas_wide(const Variant *v, const Numbers *in, int inputs, const double *row, uint8_t *out,
                int kind, int64_t count);
int pack_wide(const Variant *v, const double *in, uint8_t *out, int kind, int64_t count);
#endif
