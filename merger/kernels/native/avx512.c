/* The kernels for processors with AVX-512 (F, BW, DQ, VL). */
#include "merge.h"
#if HAVE_AVX
#include <immintrin.h>
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq")
#endif
#define WIDTH 16
#include "block.h"

const Variant avx512_variant = TABLE("avx512");

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
