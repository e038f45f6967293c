// Plain sums: runs of additions keep their target in registers, and gradients need no states.
#ifndef ELEGANS_VISITS_SUMS_H
#define ELEGANS_VISITS_SUMS_H

#include "visits_program.h"

namespace {

// One past the last of a run of neighbouring additions into one target.
template <class T>
INLINE int64_t end_of_run(const Program<T>& p, int64_t t) {
    int64_t end = t + 1;
    while (end < p.steps && !is_export(p.code[end]) && p.code[end].target == p.code[t].target &&
           p.code[end].source != p.code[t].target)
        ++end;
    return end;
}

// Sums without norm: a run of additions keeps its target in registers.
template <class T>
INLINE void forward_sums(const Program<T>& p, int64_t first, int64_t count, T* slots, const Exports<T>& out) {
    typedef T Vector __attribute__((vector_size(64), aligned(sizeof(T)), may_alias));
    constexpr int64_t LANES = int64_t(64 / sizeof(T)), UNROLL = 4;
    const int64_t width = count * p.feature;
    load_slots(p, first, count, slots);
    for (int64_t t = 0, end; t < p.steps; t = end) {
        const Instruction run = p.code[t];
        end = t + 1;
        if (is_export(run)) {
            export_rows(p, out, run, first, count, slots + run.source * width);
            continue;
        }
        // A neuron's synapse to itself reads the state that it changes: it is a run of its own.
        if (run.source != run.target) end = end_of_run(p, t);
        T* target = slots + run.target * width;
        int64_t i = 0;
        for (; i + UNROLL * LANES <= width; i += UNROLL * LANES) {
            Vector sum[UNROLL];
            for (int64_t j = 0; j < UNROLL; ++j) sum[j] = *reinterpret_cast<const Vector*>(target + i + j * LANES);
            for (int64_t k = t; k < end; ++k) {
                const T* source = slots + p.code[k].source * width + i;
                const T w = weight_of(p, p.code[k]);
                for (int64_t j = 0; j < UNROLL; ++j) sum[j] += w * *reinterpret_cast<const Vector*>(source + j * LANES);
            }
            for (int64_t j = 0; j < UNROLL; ++j) *reinterpret_cast<Vector*>(target + i + j * LANES) = sum[j];
        }
        for (int64_t k = t; k < end; ++k)
            combine(target + i, target + i, slots + p.code[k].source * width + i, weight_of(p, p.code[k]), false, true, width - i);
    }
}

// Without weights a sum's gradient needs no states: go back over gradients alone, with the target's in registers.
template <class T>
INLINE void backward_sums(const Program<T>& p, int64_t first, int64_t count, const Exports<const T>& grad, T* grads) {
    typedef T Vector __attribute__((vector_size(64), aligned(sizeof(T)), may_alias));
    constexpr int64_t LANES = int64_t(64 / sizeof(T)), UNROLL = 4;
    const int64_t width = count * p.feature;
    std::memset(grads, 0, sizeof(T) * size_t(p.slots * width));
    for (int64_t t = p.steps - 1, begin; t >= 0; t = begin - 1) {
        const Instruction run = p.code[t];
        begin = t;
        if (is_export(run)) {
            add_exported(p, grad, run, first, count, grads + run.source * width);
            continue;
        }
        while (begin > 0 && run.source != run.target && !is_export(p.code[begin - 1]) &&
               p.code[begin - 1].target == run.target && p.code[begin - 1].source != run.target)
            --begin;
        const T* target = grads + run.target * width;
        int64_t i = 0;
        for (; i + UNROLL * LANES <= width; i += UNROLL * LANES) {
            Vector g[UNROLL];
            for (int64_t j = 0; j < UNROLL; ++j) g[j] = *reinterpret_cast<const Vector*>(target + i + j * LANES);
            for (int64_t k = t; k >= begin; --k) {
                T* source = grads + p.code[k].source * width + i;
                for (int64_t j = 0; j < UNROLL; ++j) *reinterpret_cast<Vector*>(source + j * LANES) += g[j];
            }
        }
        for (int64_t k = t; k >= begin; --k) {
            T* source = grads + p.code[k].source * width + i;
            combine(source, source, target + i, T(1), false, false, width - i);
        }
    }
}

}  // namespace

#endif
