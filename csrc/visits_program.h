// A program of visits, and the arithmetic of one visit.
#ifndef ELEGANS_VISITS_PROGRAM_H
#define ELEGANS_VISITS_PROGRAM_H

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "tensor_network.h"

#define INLINE static inline __attribute__((always_inline))
#define INLINE_MEMBER inline __attribute__((always_inline))

namespace {

enum Code : int32_t { FUSE = 0, ADD = 1, UNIT_INPUT = 2, CARRY = 3, FINISHED = 4 };
enum Fuse : int32_t { SUM = 0, PRODUCT = 1 };
enum Norm : int32_t { NO_NORM = 0, LAYER_NORM = 1, ROOT_MEAN_SQUARE = 2 };  // the last on fused arrivals only

constexpr int64_t SOURCES = TENSOR_NETWORK_SOURCES;  // the input, the previous program's carry, this stage's units

struct Instruction {
    int32_t code, target, source, edge, wave;
};

template <class P>
INLINE P* address(int64_t number) {
    return reinterpret_cast<P*>(static_cast<uintptr_t>(number));
}

// Scratch memory; `data` is null if there is none left. The library is linked without the C++ runtime, hence no std::vector.
template <class T>
struct Buffer {
    T* data;
    explicit Buffer(int64_t size, bool zeroed = false) {
        const size_t count = size_t(std::max<int64_t>(size, 1));
        data = static_cast<T*>(zeroed ? std::calloc(count, sizeof(T)) : std::malloc(count * sizeof(T)));
    }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer() { std::free(data); }
};

template <class T>
struct Program {
    int64_t rows, feature;
    const T* source[SOURCES];      // base of each source tensor [rows, n, feature]
    const int64_t* row_stride;     // [SOURCES] in elements
    const int64_t* neuron_stride;  // [SOURCES]
    int64_t slots;
    const int32_t* loads;          // [slots, 2]: source, row
    int64_t steps;
    const Instruction* code;
    const T* edge_weight;          // [edges] or null
    int32_t fuse, norm;
    T eps;

    explicit Program(const tensor_network_call& call)
        : rows(call.rows), feature(call.feature),
          source{address<const T>(call.source[0]), address<const T>(call.source[1]), address<const T>(call.source[2])},
          row_stride(call.source_row), neuron_stride(call.source_neuron), slots(call.slots),
          loads(address<const int32_t>(call.loads)), steps(call.steps), code(address<const Instruction>(call.code)),
          edge_weight(address<const T>(call.edge_weight)),
          fuse(int32_t(call.fuse)), norm(int32_t(call.norm)), eps(T(call.eps)) {}
};

INLINE bool is_export(const Instruction& step) { return step.code >= UNIT_INPUT; }

// Unit inputs, carry and finished states, or their gradients: [rows, n, feature].
template <class P>
struct Exports {
    P* base[3];
    const int64_t *row_stride, *neuron_stride;  // [3]

    explicit Exports(const tensor_network_call& call)
        : base{address<P>(call.outside[0]), address<P>(call.outside[1]), address<P>(call.outside[2])},
          row_stride(call.outside_row), neuron_stride(call.outside_neuron) {}

    INLINE_MEMBER P* at(const Instruction& step, int64_t row) const {
        const int32_t k = step.code - UNIT_INPUT;
        return base[k] + row * row_stride[k] + step.target * neuron_stride[k];
    }
};

template <class T>
INLINE bool is_sums(const Program<T>& p) {
    return p.norm == NO_NORM && p.fuse == SUM;
}

template <class T>
INLINE const T* loaded(const Program<T>& p, int64_t slot, int64_t row) {
    const int32_t tensor = p.loads[2 * slot];
    return p.source[tensor] + row * p.row_stride[tensor] + p.loads[2 * slot + 1] * p.neuron_stride[tensor];
}

template <class T>
INLINE int32_t norm_of(const Program<T>& p, const Instruction& step) {
    return p.norm == ROOT_MEAN_SQUARE && step.code == ADD ? int32_t(NO_NORM) : p.norm;
}

template <class T>
INLINE T weight_of(const Program<T>& p, const Instruction& step) {
    return p.edge_weight && step.code == FUSE ? p.edge_weight[step.edge] : T(1);
}

template <class T>
INLINE void add(T* into, const T* g, int64_t n) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) into[i] += g[i];
}

// y = b + w a, or b (1 + w (a - 1)); y may be b, a may be b.
template <class T>
INLINE void combine(T* y, const T* b, const T* a, T w, bool product, bool weighted, int64_t n) {
    if (product && weighted) {
#pragma omp simd
        for (int64_t i = 0; i < n; ++i) y[i] = b[i] * (T(1) + w * (a[i] - T(1)));
    } else if (product) {
#pragma omp simd
        for (int64_t i = 0; i < n; ++i) y[i] = b[i] * a[i];
    } else if (weighted) {
#pragma omp simd
        for (int64_t i = 0; i < n; ++i) y[i] = b[i] + w * a[i];
    } else {
#pragma omp simd
        for (int64_t i = 0; i < n; ++i) y[i] = b[i] + a[i];
    }
}

template <class T>
INLINE void load_slots(const Program<T>& p, int64_t first, int64_t count, T* slots) {
    for (int64_t s = 0; s < p.slots; ++s)
        for (int64_t r = 0; r < count; ++r)
            std::memcpy(slots + (s * count + r) * p.feature, loaded(p, s, first + r), sizeof(T) * size_t(p.feature));
}

template <class T>
INLINE void export_rows(const Program<T>& p, const Exports<T>& out, const Instruction& step, int64_t first, int64_t count,
                        const T* value) {
    for (int64_t r = 0; r < count; ++r)
        std::memcpy(out.at(step, first + r), value + r * p.feature, sizeof(T) * size_t(p.feature));
}

template <class T>
INLINE void add_exported(const Program<T>& p, const Exports<const T>& grad, const Instruction& step, int64_t first,
                         int64_t count, T* value) {
    for (int64_t r = 0; r < count; ++r) add(value + r * p.feature, grad.at(step, first + r), p.feature);
}

}  // namespace

#endif
