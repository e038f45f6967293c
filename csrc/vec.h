// Vectors of 64 bytes in GCC's portable notation, with loads and stores for every storage type.
#ifndef ELEGANS_VEC_H
#define ELEGANS_VEC_H

#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#define INLINE inline __attribute__((always_inline))
// Accumulators stay in registers only if the loops over a strip's vectors disappear; -O2 does not unroll them by itself.
#define UNROLL _Pragma("GCC unroll 4")

namespace {

struct bf16 {
    uint16_t bits;
};
struct f16 {
    uint16_t bits;
};
// GCC 12 knows the type _Float16 in C++ on x86 only.
#if defined(__aarch64__)
typedef __fp16 native_f16;
#else
typedef _Float16 native_f16;
#endif

// Sums of half-precision values are formed in float.
template <class S> struct Accumulator { using type = float; };
template <> struct Accumulator<double> { using type = double; };

template <class A> struct Lanes;
template <> struct Lanes<float> {
    static constexpr int count = 16;
    typedef float vec __attribute__((vector_size(64)));
    typedef int32_t integer;
    typedef int32_t mask __attribute__((vector_size(64)));
    typedef float loose __attribute__((vector_size(64), aligned(4), may_alias));
    typedef int32_t loose_mask __attribute__((vector_size(64), aligned(4), may_alias));
};
template <> struct Lanes<double> {
    static constexpr int count = 8;
    typedef double vec __attribute__((vector_size(64)));
    typedef int64_t integer;
    typedef int64_t mask __attribute__((vector_size(64)));
    typedef double loose __attribute__((vector_size(64), aligned(8), may_alias));
    typedef int64_t loose_mask __attribute__((vector_size(64), aligned(8), may_alias));
};
using Floats = Lanes<float>::vec;
using Doubles = Lanes<double>::vec;
typedef uint32_t Words __attribute__((vector_size(64)));
typedef uint16_t Halves __attribute__((vector_size(32)));
typedef uint16_t LooseHalves __attribute__((vector_size(32), aligned(2), may_alias));

INLINE Floats load(const float *p) { return *reinterpret_cast<const Lanes<float>::loose *>(p); }
INLINE Doubles load(const double *p) { return *reinterpret_cast<const Lanes<double>::loose *>(p); }
INLINE void store(float *p, Floats v) { *reinterpret_cast<Lanes<float>::loose *>(p) = v; }
INLINE void store(double *p, Doubles v) { *reinterpret_cast<Lanes<double>::loose *>(p) = v; }

INLINE auto load(const int32_t *p) { return Lanes<float>::mask(*reinterpret_cast<const Lanes<float>::loose_mask *>(p)); }
INLINE auto load(const int64_t *p) { return Lanes<double>::mask(*reinterpret_cast<const Lanes<double>::loose_mask *>(p)); }
INLINE void store(int32_t *p, Lanes<float>::mask v) { *reinterpret_cast<Lanes<float>::loose_mask *>(p) = v; }
INLINE void store(int64_t *p, Lanes<double>::mask v) { *reinterpret_cast<Lanes<double>::loose_mask *>(p) = v; }

INLINE Floats load(const bf16 *p) {
    Halves bits = *reinterpret_cast<const LooseHalves *>(p);
    return (Floats)(__builtin_convertvector(bits, Words) << 16);
}
INLINE void store(bf16 *p, Floats v) {
    Words bits = (Words)v;
    Words rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;  // to nearest, ties to even
    Words quiet = (bits >> 16) | 0x40;                           // a NaN must not be rounded into infinity
    *reinterpret_cast<LooseHalves *>(p) = __builtin_convertvector(v != v ? quiet : rounded, Halves);
}

#if defined(__AVX512F__)
INLINE Floats load(const f16 *p) {
    return (Floats)_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(p)));
}
INLINE void store(f16 *p, Floats v) {
    _mm256_storeu_si256(reinterpret_cast<__m256i *>(p), _mm512_cvtps_ph((__m512)v, _MM_FROUND_TO_NEAREST_INT));
}
#elif defined(__F16C__)
INLINE Floats load(const f16 *p) {
    __m256 halves[2];
    for (int i = 0; i < 2; i++) halves[i] = _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i *>(p) + i));
    Floats v;
    memcpy(&v, halves, 64);
    return v;
}
INLINE void store(f16 *p, Floats v) {
    __m256 halves[2];
    memcpy(halves, &v, 64);
    for (int i = 0; i < 2; i++)
        _mm_storeu_si128(reinterpret_cast<__m128i *>(p) + i, _mm256_cvtps_ph(halves[i], _MM_FROUND_TO_NEAREST_INT));
}
#else
// Without conversion instructions these are long, so they are not inlined.
__attribute__((noinline)) Floats load(const f16 *p) {
    Floats v;
    for (int i = 0; i < 16; i++) {
        native_f16 h;
        memcpy(&h, p + i, 2);
        v[i] = static_cast<float>(h);
    }
    return v;
}
__attribute__((noinline)) void store(f16 *p, Floats v) {
    for (int i = 0; i < 16; i++) {
        native_f16 h = static_cast<native_f16>(v[i]);
        memcpy(p + i, &h, 2);
    }
}
#endif

// The first `count` lanes only; the others read as zero. No byte beyond them is touched.
template <class S> INLINE auto load_part(const S *p, int64_t count) -> decltype(load(p)) {
    S lanes[Lanes<typename Accumulator<S>::type>::count];
    memset(lanes, 0, sizeof(lanes));
    memcpy(lanes, p, static_cast<size_t>(count) * sizeof(S));
    return load(lanes);
}
template <class S, class V> INLINE void store_part(S *p, V v, int64_t count) {
    S lanes[Lanes<typename Accumulator<S>::type>::count];
    store(lanes, v);
    memcpy(p, lanes, static_cast<size_t>(count) * sizeof(S));
}
#if defined(__AVX512F__)
INLINE Floats load_part(const float *p, int64_t count) {
    return (Floats)_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1), p);
}
INLINE void store_part(float *p, Floats v, int64_t count) {
    _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << count) - 1), (__m512)v);
}
#endif

// One number.
INLINE float load_one(const float *p) { return *p; }
INLINE double load_one(const double *p) { return *p; }
INLINE void store_one(float *p, float v) { *p = v; }
INLINE void store_one(double *p, double v) { *p = v; }
INLINE float load_one(const bf16 *p) {
    uint32_t bits = static_cast<uint32_t>(p->bits) << 16;
    float v;
    memcpy(&v, &bits, 4);
    return v;
}
INLINE void store_one(bf16 *p, float v) {
    uint32_t bits;
    memcpy(&bits, &v, 4);
    p->bits = static_cast<uint16_t>(v != v ? (bits >> 16) | 0x40 : (bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
INLINE float load_one(const f16 *p) {
    native_f16 h;
    memcpy(&h, p, 2);
    return static_cast<float>(h);
}
INLINE void store_one(f16 *p, float v) {
    native_f16 h = static_cast<native_f16>(v);
    memcpy(p, &h, 2);
}

// Writes past the cache: for outputs that would evict the inputs. The address must be a multiple of 64.
template <class S, class V> INLINE void store_streaming(S *p, V v) { store(p, v); }
#if defined(__AVX512F__)
INLINE void store_streaming(float *p, Floats v) { _mm512_stream_ps(p, (__m512)v); }
INLINE void store_streaming(double *p, Doubles v) { _mm512_stream_pd(p, (__m512d)v); }
#elif defined(__SSE2__)
template <class A> INLINE void stream_quarters(A *p, typename Lanes<A>::vec v) {
    __m128i quarters[4];
    memcpy(quarters, &v, 64);
    for (int i = 0; i < 4; i++) _mm_stream_si128(reinterpret_cast<__m128i *>(p) + i, quarters[i]);
}
INLINE void store_streaming(float *p, Floats v) { stream_quarters(p, v); }
INLINE void store_streaming(double *p, Doubles v) { stream_quarters(p, v); }
#endif

// Orders streaming stores before whatever the thread publishes next.
INLINE void drain_streaming() {
#if defined(__SSE2__)
    _mm_sfence();
#endif
}

// Sum of the lanes, in one fixed order.
INLINE float sum_lanes(Floats v) {
    auto a = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
             __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
    auto b = __builtin_shufflevector(a, a, 0, 1, 2, 3) + __builtin_shufflevector(a, a, 4, 5, 6, 7);
    auto c = __builtin_shufflevector(b, b, 0, 1) + __builtin_shufflevector(b, b, 2, 3);
    return c[0] + c[1];
}
INLINE double sum_lanes(Doubles v) {
    auto a = __builtin_shufflevector(v, v, 0, 1, 2, 3) + __builtin_shufflevector(v, v, 4, 5, 6, 7);
    auto b = __builtin_shufflevector(a, a, 0, 1) + __builtin_shufflevector(a, a, 2, 3);
    return b[0] + b[1];
}

template <class T> INLINE T smaller(T a, T b) { return a < b ? a : b; }
template <class T> INLINE T larger(T a, T b) { return a > b ? a : b; }
INLINE int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace

#endif
