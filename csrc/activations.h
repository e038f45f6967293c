// Activations on vectors of numbers, with their gradients.
#ifndef ELEGANS_ACTIVATIONS_H
#define ELEGANS_ACTIVATIONS_H

#include <math.h>

#include "synaptic_layout.h"

namespace {

using FloatRegister = Register<float>::vec;
using DoubleRegister = Register<double>::vec;
template <class Vec> using Bits = decltype(Vec{} < Vec{});

// Zero where the mask is; a NaN goes too.
template <class Vec> INLINE Vec masked(Vec v, Vec mask) { return (Vec)((Bits<Vec>)v & (Bits<Vec>)mask); }

INLINE FloatRegister reciprocal(FloatRegister v) {
#if defined(__AVX512F__)
    const FloatRegister r = (FloatRegister)_mm512_rcp14_ps((__m512)v);
    return r * (2.0f - v * r);
#else
    return 1.0f / v;
#endif
}
INLINE DoubleRegister reciprocal(DoubleRegister v) { return 1.0 / v; }

// e^v for |v| <= 85: 2^n times a polynomial (relative error 1e-7) of what is left of the exponent, at most 1/2.
INLINE FloatRegister exponential(FloatRegister v) {
    constexpr float kShift = 12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest whole number in the lowest bits
    constexpr float kLog2e = 1.44269502f, kLog2eRest = 1.92596299e-8f;
    const FloatRegister moved = v * kLog2e + kShift, n = moved - kShift;
    const FloatRegister r = (v * kLog2e - n) + v * kLog2eRest;
    FloatRegister p = 0.0013276466634f * r + 0.0096755409613f;
    p = p * r + 0.0555071346462f;
    p = p * r + 0.2402212023735f;
    p = p * r + 0.6931469440460f;
    p = p * r + 1.0000001192093f;
    return (FloatRegister)((Bits<FloatRegister>)p + ((Bits<FloatRegister>)moved << 23));
}
INLINE DoubleRegister exponential(DoubleRegister v) {
    for (int k = 0; k < Register<double>::count; k++) v[k] = exp(v[k]);
    return v;
}

// Phi(-a), the normal distribution's tail, for 0 <= a; density: e^(-a^2 / 2).
INLINE FloatRegister tail(FloatRegister a, FloatRegister density) {
    // The tail over the density falls smoothly, in the end like 1 / a: a polynomial in t (relative error 1e-7).
    const FloatRegister t = reciprocal(1.0f + 0.3f * a);
    FloatRegister p = 0.0364654734731f * t - 0.1605153977871f;
    p = p * t + 0.2120980322361f;
    p = p * t - 0.0590128265321f;
    p = p * t + 0.1314082741737f;
    p = p * t + 0.0990407168865f;
    p = p * t + 0.1208957880735f;
    p = p * t + 0.1196198910475f;
    return density * (t * p);
}
INLINE DoubleRegister tail(DoubleRegister a, DoubleRegister) {
    for (int k = 0; k < Register<double>::count; k++) a[k] = 0.5 * erfc(a[k] * 0.70710678118654752440);
    return a;
}

// value(z) = act(z); gradient(z, g, h) = g * act'(z), and h = act(z). NaN stays NaN.
struct Relu {
    template <class Vec> static INLINE Vec value(Vec z) { return z < Vec{} ? Vec{} : z; }
    template <class Vec> static INLINE Vec gradient(Vec z, Vec g, Vec &h) {
        h = value(z);
        return z <= Vec{} ? Vec{} : g;
    }
};

// z * Phi(z). Beyond 12.5 the tail is 0 for all that matters, and its square would underflow.
struct Gelu {
    template <class Vec> static INLINE Vec distribution(Vec z, Vec &density) {
        const Vec most = Vec{} + 12.5f;
        Vec a = masked(z, (Vec)~(Bits<Vec>)-Vec{});  // without its sign
        a = a > most ? most : a;
        density = exponential(-0.5f * (a * a));
        const Vec q = tail(a, density);
        return z > Vec{} ? 1.0f - q : q;
    }
    template <class Vec> static INLINE Vec value(Vec z) {
        Vec density;
        return z * distribution(z, density);
    }
    template <class Vec> static INLINE Vec gradient(Vec z, Vec g, Vec &h) {
        using A = decltype(z[0] + z[0]);
        Vec density;
        const Vec phi = distribution(z, density);
        h = z * phi;
        return g * (phi + z * (density * static_cast<A>(0.39894228040143267794)));
    }
};

// z / (1 + e^-z)
struct Silu {
    template <class Vec> static INLINE Vec sigmoid(Vec z) {
        const Vec most = Vec{} + 80.0f;
        return reciprocal(1.0f + exponential(z < -most ? most : z > most ? -most : -z));
    }
    template <class Vec> static INLINE Vec value(Vec z) { return z * sigmoid(z); }
    template <class Vec> static INLINE Vec gradient(Vec z, Vec g, Vec &h) {
        const Vec s = sigmoid(z);
        h = z * s;
        return g * (s + h * (1.0f - s));
    }
};

// Calls body with the activation that the code stands for.
template <class Body> INLINE void with_activation(int64_t code, Body body) {
    switch (code) {
        case ELEGANS_GELU: return body(Gelu());
        case ELEGANS_SILU: return body(Silu());
        default: return body(Relu());
    }
}

}  // namespace

#endif
