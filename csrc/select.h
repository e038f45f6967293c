// Strip kernels for max and mul, whose gradients depend on the whole neighbourhood: they run over targets, on packed strips.
#ifndef ELEGANS_SELECT_H
#define ELEGANS_SELECT_H

#include "strips.h"

namespace {

// Replaces (best, who) where the message is larger, or is the first NaN; the earliest of equals stays.
template <class Vec, class Mask> INLINE void compete(Vec message, Mask id, Vec &best, Mask &who) {
    Mask better = (message > best) | ((message != message) & (best == best));
    best = better ? message : best;
    who = better ? id : who;
}

template <int V, bool LaneWeights, class A>
void max_strip(const Csr &csr, const A *weights, const A *buffer, A *out, typename Lanes<A>::integer *winner) {
    using Vec = typename Lanes<A>::vec;
    using Mask = typename Lanes<A>::mask;
    constexpr int L = Lanes<A>::count;
    for (int64_t v = 0; v < csr.neurons; v++) {
        Vec best[V];
        Mask who[V];
        UNROLL for (int i = 0; i < V; i++) best[i] = Vec{}, who[i] = Mask{} - 1;
        for (int64_t e = csr.pointers[v]; e < csr.pointers[v + 1]; e++) {
            const A *source = buffer + static_cast<int64_t>(csr.partners[e]) * (V * L);
            const EdgeWeight<V, LaneWeights, A> weight(weights, e);
            const Mask id = Mask{} + csr.perm[e];
            UNROLL for (int i = 0; i < V; i++) {
                Vec message = weight.times(load(source + i * L), i);
                if (e == csr.pointers[v]) best[i] = message, who[i] = id;
                else compete(message, id, best[i], who[i]);
            }
        }
        UNROLL for (int i = 0; i < V; i++) store(out + (v * V + i) * L, best[i]), store(winner + (v * V + i) * L, who[i]);
    }
}

// What one edge passes back: its share of the gradient for the source, and for its weight.
template <int V, bool LaneWeights, class A>
INLINE void pass_back(const EdgeWeight<V, LaneWeights, A> &weight, const typename Lanes<A>::vec *grad_message,
                      const A *source, A *grad_source, A *grad_weight, int64_t e) {
    using Vec = typename Lanes<A>::vec;
    constexpr int L = Lanes<A>::count;
    Vec dot{};
    UNROLL for (int i = 0; i < V; i++) {
        store(grad_source + i * L, load(grad_source + i * L) + weight.times(grad_message[i], i));
        Vec share = load(source + i * L) * grad_message[i];
        A *into = grad_weight + (e * V + i) * L;
        if constexpr (LaneWeights) store(into, load(into) + share);
        else dot += share;
    }
    if constexpr (!LaneWeights) grad_weight[e] += sum_lanes(dot);
}

template <int V, bool LaneWeights, class A>
void max_gradient_strip(const Csr &csr, const A *weights, const A *buffer, const A *grads,
                        const typename Lanes<A>::integer *winner, A *grad_x, A *grad_weight) {
    using Vec = typename Lanes<A>::vec;
    using Mask = typename Lanes<A>::mask;
    constexpr int L = Lanes<A>::count;
    for (int64_t v = 0; v < csr.neurons; v++)
        for (int64_t e = csr.pointers[v]; e < csr.pointers[v + 1]; e++) {
            const int64_t offset = static_cast<int64_t>(csr.partners[e]) * (V * L);
            const Mask id = Mask{} + csr.perm[e];
            Vec grad[V];
            UNROLL for (int i = 0; i < V; i++) {
                const Vec passed = load(grads + (v * V + i) * L);
                grad[i] = load(winner + (v * V + i) * L) == id ? passed : Vec{};
            }
            const EdgeWeight<V, LaneWeights, A> weight(weights, e);
            pass_back<V, LaneWeights, A>(weight, grad, buffer + offset, grad_x + offset, grad_weight, e);
        }
}

// The product of the others is that of the messages before times that of the messages after: no division, right at zeros.
// `before` holds one strip of products per edge of the largest neighbourhood.
template <int V, bool LaneWeights, class A>
void mul_gradient_strip(const Csr &csr, const A *weights, const A *buffer, const A *grads, A *before, A *grad_x,
                        A *grad_weight) {
    using Vec = typename Lanes<A>::vec;
    constexpr int L = Lanes<A>::count;
    for (int64_t v = 0; v < csr.neurons; v++) {
        const int64_t first = csr.pointers[v], last = csr.pointers[v + 1];
        Vec running[V];
        UNROLL for (int i = 0; i < V; i++) running[i] = Vec{} + 1;
        for (int64_t e = first; e < last; e++) {
            const A *source = buffer + static_cast<int64_t>(csr.partners[e]) * (V * L);
            const EdgeWeight<V, LaneWeights, A> weight(weights, e);
            UNROLL for (int i = 0; i < V; i++) {
                store(before + ((e - first) * V + i) * L, running[i]);
                running[i] *= weight.times(load(source + i * L), i);
            }
        }
        UNROLL for (int i = 0; i < V; i++) running[i] = Vec{} + 1;
        for (int64_t e = last - 1; e >= first; e--) {
            const int64_t offset = static_cast<int64_t>(csr.partners[e]) * (V * L);
            const EdgeWeight<V, LaneWeights, A> weight(weights, e);
            Vec grad[V];
            UNROLL for (int i = 0; i < V; i++)
                grad[i] = load(grads + (v * V + i) * L) * (load(before + ((e - first) * V + i) * L) * running[i]);
            UNROLL for (int i = 0; i < V; i++) running[i] *= weight.times(load(buffer + offset + i * L), i);
            pass_back<V, LaneWeights, A>(weight, grad, buffer + offset, grad_x + offset, grad_weight, e);
        }
    }
}

}  // namespace

#endif
