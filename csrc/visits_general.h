// Products and norms: the backward pass runs the program again and keeps every version in scratch memory.
#ifndef ELEGANS_VISITS_GENERAL_H
#define ELEGANS_VISITS_GENERAL_H

#include "visits_program.h"

namespace {

// y = (y - mean) / sqrt(var + eps), or y / sqrt(mean square + eps); returns the factor.
template <class T>
INLINE T normalise(T* y, int32_t norm, T eps, int64_t n) {
    T mean = 0;
    if (norm == LAYER_NORM) {
#pragma omp simd reduction(+ : mean)
        for (int64_t i = 0; i < n; ++i) mean += y[i];
        mean /= T(n);
    }
    T square = 0;
#pragma omp simd reduction(+ : square)
    for (int64_t i = 0; i < n; ++i) square += (y[i] - mean) * (y[i] - mean);
    const T factor = T(1) / std::sqrt(square / T(n) + eps);
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = (y[i] - mean) * factor;
    return factor;
}

// From the gradient of the normalised y to the gradient of the values before.
template <class T>
INLINE void normalise_backward(T* g, const T* y, T factor, int32_t norm, int64_t n) {
    T mean = 0, along = 0;
    if (norm == LAYER_NORM) {
#pragma omp simd reduction(+ : mean, along)
        for (int64_t i = 0; i < n; ++i) {
            mean += g[i];
            along += g[i] * y[i];
        }
    } else {
#pragma omp simd reduction(+ : along)
        for (int64_t i = 0; i < n; ++i) along += g[i] * y[i];
    }
    mean /= T(n);
    along /= T(n);
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) g[i] = factor * (g[i] - mean - y[i] * along);
}

template <class T>
INLINE void forward_general(const Program<T>& p, int64_t first, int64_t count, T* slots, const Exports<T>& out) {
    const int64_t width = count * p.feature;
    load_slots(p, first, count, slots);
    for (int64_t t = 0; t < p.steps; ++t) {
        const Instruction step = p.code[t];
        T* target = slots + step.target * width;
        const T* source = slots + step.source * width;
        if (is_export(step)) {
            export_rows(p, out, step, first, count, source);
            continue;
        }
        const bool weighted = p.edge_weight && step.code == FUSE;
        combine(target, target, source, weight_of(p, step), p.fuse == PRODUCT && step.code == FUSE, weighted, width);
        const int32_t norm = norm_of(p, step);
        if (norm != NO_NORM)
            for (int64_t r = 0; r < count; ++r) normalise(target + r * p.feature, norm, p.eps, p.feature);
    }
}

// The position of each instruction's operands in the list of all versions: first the loads, then one per instruction.
struct Operands {
    const int64_t *target, *source;  // [steps]
};

template <class T>
void find_operands(const Program<T>& p, int64_t* target, int64_t* source, int64_t* current) {
    for (int64_t s = 0; s < p.slots; ++s) current[s] = s;
    for (int64_t t = 0; t < p.steps; ++t) {
        const Instruction& step = p.code[t];
        source[t] = current[step.source];
        if (is_export(step)) continue;
        target[t] = current[step.target];
        current[step.target] = p.slots + t;
    }
}

template <class T>
INLINE void backward_general(const Program<T>& p, const Operands& at, int64_t first, int64_t count,
                             const Exports<const T>& grad, T* values, T* factors, T* grads, double* grad_weight) {
    const int64_t width = count * p.feature;
    load_slots(p, first, count, values);
    for (int64_t t = 0; t < p.steps; ++t) {
        const Instruction step = p.code[t];
        if (is_export(step)) continue;
        T* y = values + (p.slots + t) * width;
        const bool weighted = p.edge_weight && step.code == FUSE;
        combine(y, values + at.target[t] * width, values + at.source[t] * width, weight_of(p, step),
                p.fuse == PRODUCT && step.code == FUSE, weighted, width);
        const int32_t norm = norm_of(p, step);
        if (norm != NO_NORM)
            for (int64_t r = 0; r < count; ++r)
                factors[t * count + r] = normalise(y + r * p.feature, norm, p.eps, p.feature);
    }
    std::fill(grads, grads + p.slots * width, T(0));
    for (int64_t t = p.steps - 1; t >= 0; --t) {
        const Instruction step = p.code[t];
        T* ga = grads + step.source * width;
        if (is_export(step)) {
            add_exported(p, grad, step, first, count, ga);
            continue;
        }
        T* gb = grads + step.target * width;
        const int32_t norm = norm_of(p, step);
        if (norm != NO_NORM)
            for (int64_t r = 0; r < count; ++r)
                normalise_backward(gb + r * p.feature, values + (p.slots + t) * width + r * p.feature,
                                   factors[t * count + r], norm, p.feature);
        const T* a = values + at.source[t] * width;
        const T* b = values + at.target[t] * width;
        const T w = weight_of(p, step);
        if (p.fuse == PRODUCT && step.code == FUSE) {
            if (grad_weight && p.edge_weight) {
                T sum = 0;
#pragma omp simd reduction(+ : sum)
                for (int64_t i = 0; i < width; ++i) sum += gb[i] * b[i] * (a[i] - T(1));
                grad_weight[t] += double(sum);
            }
            // Target and source may be one slot: both parts use the old gradient.
#pragma omp simd
            for (int64_t i = 0; i < width; ++i) {
                const T g = gb[i];
                gb[i] = g * (T(1) + w * (a[i] - T(1)));
                ga[i] += g * b[i] * w;
            }
        } else {
            if (grad_weight && p.edge_weight && step.code == FUSE) {
                T sum = 0;
#pragma omp simd reduction(+ : sum)
                for (int64_t i = 0; i < width; ++i) sum += gb[i] * a[i];
                grad_weight[t] += double(sum);
            }
            combine(ga, ga, gb, w, false, true, width);
        }
    }
}

}  // namespace

#endif
