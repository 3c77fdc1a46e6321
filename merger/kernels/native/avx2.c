/* The kernels for processors with AVX2, F16C and FMA. */
#include "merge.h"
#if HAVE_AVX
#include <immintrin.h>
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,f16c,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,f16c,fma")
#endif
#define WIDTH 8
#include "block.h"

const Variant avx2_variant = TABLE("avx2");

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
