/* Loads numbers of a file as float32, WIDTH at a time, and stores them rounded to the nearest, ties
 * to even.
 *
 * Every variant includes this file once. Stores return the magnitudes that they wrote, plus a bias
 * that sets the highest bit of those that are infinite or NaN.
 */
#if WIDTH == 1
typedef float Floats;
typedef uint32_t Words;
#define MASK(condition) ((Words)0 - (Words)(condition))
#else
typedef float Floats __attribute__((vector_size(4 * WIDTH)));
typedef uint32_t Words __attribute__((vector_size(4 * WIDTH)));
#define MASK(condition) ((Words)(condition))
#endif

/* Loads 16-bit numbers at any address as words, and stores the lower halves of words (all below
 * 2^16). */
#if WIDTH == 16
#define HALVES_AT(in) ((Words)_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(in))))
#define PUT_HALVES(out, words)                                                                     \
    _mm256_storeu_si256((__m256i *)(out), _mm512_cvtepi32_epi16((__m512i)(words)))
#elif WIDTH == 8
#define HALVES_AT(in) ((Words)_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(in))))
#define PUT_HALVES(out, words) put_eight(out, (__m256i)(words))
INLINE void put_eight(uint8_t *out, __m256i words)
{
    __m256i packed = _mm256_packus_epi32(words, words);
    packed = _mm256_permute4x64_epi64(packed, 0x08);
    _mm_storeu_si128((__m128i *)out, _mm256_castsi256_si128(packed));
}
#else
#define HALVES_AT(in) half_at(in)
#define PUT_HALVES(out, words) put_half(out, words)
INLINE Words half_at(const uint8_t *in)
{
    uint16_t half;
    memcpy(&half, in, sizeof half);
    return half;
}

INLINE void put_half(uint8_t *out, Words word)
{
    uint16_t half = (uint16_t)word;
    memcpy(out, &half, sizeof half);
}
#endif

/* a * b + c, rounded once. */
#if WIDTH == 16
INLINE Floats fused(Floats a, Floats b, Floats c)
{
    return (Floats)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
}
#elif WIDTH == 8
INLINE Floats fused(Floats a, Floats b, Floats c)
{
    return (Floats)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}
#elif defined(__FP_FAST_FMAF)
INLINE Floats fused(Floats a, Floats b, Floats c) { return __builtin_fmaf(a, b, c); }
#else
/* In float64 the product is exact. An inexact sum is rounded to odd: to the neighbour of the exact
 * sum whose last bit is 1, which rounds to float32 as the exact sum would (Boldo and Melquiond
 * 2008). */
INLINE Floats fused(Floats a, Floats b, Floats c)
{
    double product = (double)a * (double)b, addend = c, sum = product + addend;
    double added = sum - product, error = (product - (sum - added)) + (addend - added);
    int64_t word;
    memcpy(&word, &sum, sizeof word);
    if ((error > 0 || error < 0) && !(word & 1))
        word += (error > 0) == (sum > 0) ? 1 : -1;
    memcpy(&sum, &word, sizeof sum);
    return (float)sum;
}
#endif

#define BIAS_BF16 (0x80000000u - 0x7f80u)
#define BIAS_F16 (0x80000000u - 0x7c00u)
#define BIAS_F32 (0x80000000u - 0x7f800000u)
#define BIAS_ROUNDED (0x80000000u - 0x7f7f8000u) /* for numbers that round to no finite bfloat16 */
#define PAIR_BIAS 0x00800080u /* BIAS_BF16 of two numbers in a word, by 16 bits */
#define UPPER 0xffff0000u

INLINE Words bits(Floats x)
{
    Words words;
    memcpy(&words, &x, sizeof words);
    return words;
}

INLINE Floats number(Words x)
{
    Floats numbers;
    memcpy(&numbers, &x, sizeof numbers);
    return numbers;
}

INLINE Words select_words(Words mask, Words yes, Words no) { return (mask & yes) | (~mask & no); }

INLINE Words round_word(Words u) { return u + 0x7fffu + ((u >> 16) & 1u); }

/* Rounds numbers to a narrower kind, as float32. NaN stays NaN unless it has a payload in its lower
 * half, which no 16-bit number has. */
INLINE Floats round_bf16(Floats x) { return number(round_word(bits(x)) & UPPER); }

INLINE Floats round_f32(Floats x) { return x; }

INLINE Floats load_f32(const uint8_t *in)
{
    Floats numbers;
    memcpy(&numbers, in, sizeof numbers);
    return numbers;
}

INLINE Words store_f32(uint8_t *out, Floats x)
{
    memcpy(out, &x, sizeof x);
    return (bits(x) & 0x7fffffffu) + BIAS_F32;
}

INLINE Floats load_bf16(const uint8_t *in) { return number(HALVES_AT(in) << 16); }

INLINE Words store_bf16(uint8_t *out, Floats x)
{
    Words u = bits(x);
    Words rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    rounded = select_words(MASK((u & 0x7fffffffu) > 0x7f800000u), (u >> 16) | 0x40u, rounded);
    PUT_HALVES(out, rounded);
    return (rounded & 0x7fffu) + BIAS_BF16;
}

#if WIDTH == 16
INLINE Floats load_f16(const uint8_t *in)
{
    return (Floats)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)in));
}

INLINE Words store_f16(uint8_t *out, Floats x)
{
    __m256i halves = _mm512_cvtps_ph((__m512)x, _MM_FROUND_TO_NEAREST_INT);
    _mm256_storeu_si256((__m256i *)out, halves);
    return ((Words)_mm512_cvtepu16_epi32(halves) & 0x7fffu) + BIAS_F16;
}
#elif WIDTH == 8
INLINE Floats load_f16(const uint8_t *in)
{
    return (Floats)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)in));
}

INLINE Words store_f16(uint8_t *out, Floats x)
{
    __m128i halves = _mm256_cvtps_ph((__m256)x, _MM_FROUND_TO_NEAREST_INT);
    _mm_storeu_si128((__m128i *)out, halves);
    return ((Words)_mm256_cvtepu16_epi32(halves) & 0x7fffu) + BIAS_F16;
}
#else
/* Scaling by 2^112 corrects the exponent, also of subnormal numbers. */
INLINE Floats load_f16(const uint8_t *in)
{
    const float scale = 5192296858534827628530496329220096.0f;
    Words half = HALVES_AT(in), magnitude = (half & 0x7fffu) << 13;
    Words scaled = bits(number(magnitude) * scale);
    Words special = MASK((half & 0x7c00u) == 0x7c00u);
    return number(select_words(special, magnitude | 0x7f800000u, scaled) | ((half & 0x8000u) << 16));
}

/* Below 2^-14, adding 0.5 leaves the subnormal half in the last bits, rounded by the addition. */
INLINE Words store_f16(uint8_t *out, Floats x)
{
    Words u = bits(x), magnitude = u & 0x7fffffffu;
    Words normal = (magnitude + 0xc8000fffu + ((magnitude >> 13) & 1u)) >> 13;
    Words small = bits(number(magnitude) + 0.5f) - 0x3f000000u;
    Words half = select_words(MASK(magnitude < 0x38800000u), small, normal);
    half = select_words(MASK(magnitude >= 0x47800000u), 0x7c00u | (half & 0u), half);
    half = select_words(MASK(magnitude > 0x7f800000u), 0x7e00u | (half & 0u), half);
    PUT_HALVES(out, half | ((u >> 16) & 0x8000u));
    return half + BIAS_F16;
}
#endif

#if WIDTH == 16
INLINE Floats round_f16(Floats x)
{
    return (Floats)_mm512_cvtph_ps(_mm512_cvtps_ph((__m512)x, _MM_FROUND_TO_NEAREST_INT));
}
#elif WIDTH == 8
INLINE Floats round_f16(Floats x)
{
    return (Floats)_mm256_cvtph_ps(_mm256_cvtps_ph((__m256)x, _MM_FROUND_TO_NEAREST_INT));
}
#else
INLINE Floats round_f16(Floats x)
{
    uint8_t half[2];
    store_f16(half, x);
    return load_f16(half);
}
#endif
