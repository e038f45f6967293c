// The schedule for small graphs: a strip of features of all neurons is packed into cache, then every edge reads from there.
#ifndef ELEGANS_STRIPS_H
#define ELEGANS_STRIPS_H

#include "layout.h"
#include "problem.h"

namespace {

// Rows of the next strip, fetched while this one is computed: one row of each operand per row of the graph.
struct Ahead {
    const char *rows[kStripVectors];
    int64_t stride;

    template <class S> Ahead(const View<const S> &view, const Strip &next) : stride(view.neuron * int64_t(sizeof(S))) {
        for (int i = 0; i < kStripVectors; i++)
            rows[i] = reinterpret_cast<const char *>(address(view, next.pieces[i < next.vectors ? i : 0]));
    }

    template <int V> INLINE void fetch(int64_t n) const {
        UNROLL for (int i = 0; i < V; i++) __builtin_prefetch(rows[i] + n * stride, 0, 2);
    }
};

// The rows of a strip, in place or in a packed buffer.
template <class S> struct Rows {
    S *base[kStripVectors];
    int64_t stride;

    Rows(const View<S> &view, const Strip &strip) : stride(view.neuron) {
        for (int i = 0; i < strip.vectors; i++) base[i] = address(view, strip.pieces[i]);
    }
    Rows(S *buffer, int vectors, int lanes) : stride(vectors * lanes) {
        for (int i = 0; i < vectors; i++) base[i] = buffer + i * lanes;
    }

    template <int V> bool aligned() const {
        bool all = true;
        UNROLL for (int i = 0; i < V; i++) all = all && reinterpret_cast<uintptr_t>(base[i]) % 64 == 0;
        return all && stride * static_cast<int64_t>(sizeof(S)) % 64 == 0;
    }
};

template <int V, bool LaneWeights, class A> struct EdgeWeight {
    typename Lanes<A>::vec lanes[LaneWeights ? V : 1];
    A one;

    INLINE EdgeWeight(const A *weights, int64_t e) {
        if constexpr (LaneWeights) {
            UNROLL for (int i = 0; i < V; i++) lanes[i] = load(weights + (e * V + i) * Lanes<A>::count);
        } else {
            one = weights[e];
        }
    }
    INLINE typename Lanes<A>::vec times(typename Lanes<A>::vec v, int i) const {
        if constexpr (LaneWeights) return lanes[i] * v;
        else return one * v;
    }
};

template <int V, bool LaneWeights, bool Product, class S, class A>
void combine_strip(const Csr &csr, const A *weights, const A *share, const A *buffer, const Rows<S> &out, bool stream,
                   const Ahead &ahead) {
    using Vec = typename Lanes<A>::vec;
    constexpr int L = Lanes<A>::count;
    for (int64_t v = 0; v < csr.neurons; v++) {
        ahead.template fetch<V>(v);
        Vec acc[V];
        UNROLL for (int i = 0; i < V; i++) acc[i] = Product ? Vec{} + 1 : Vec{};
        for (int64_t e = csr.pointers[v]; e < csr.pointers[v + 1]; e++) {
            const A *source = buffer + static_cast<int64_t>(csr.partners[e]) * (V * L);
            const EdgeWeight<V, LaneWeights, A> weight(weights, e);
            UNROLL for (int i = 0; i < V; i++) {
                Vec message = weight.times(load(source + i * L), i);
                if constexpr (Product) acc[i] *= message;
                else acc[i] += message;
            }
        }
        UNROLL for (int i = 0; i < V; i++) {
            if (share) acc[i] *= share[v];
            if (stream) store_streaming(out.base[i] + v * out.stride, acc[i]);
            else store(out.base[i] + v * out.stride, acc[i]);
        }
    }
}

// Both gradients of sum in one pass over the edges of each source u: grad_y is read once and used twice.
template <int V, bool LaneWeights, class I, class S, class A>
void differentiate_strip(const Csr &csc, const A *weights, const A *grads, const Rows<I> &x, const Rows<S> &grad_x,
                         A *grad_weight, Needs needs, bool stream, const Ahead &ahead_x, const Ahead &ahead_grad) {
    using Vec = typename Lanes<A>::vec;
    constexpr int L = Lanes<A>::count;
    for (int64_t u = 0; u < csc.neurons; u++) {
        ahead_x.template fetch<V>(u);
        ahead_grad.template fetch<V>(u);
        Vec acc[V], state[V];
        UNROLL for (int i = 0; i < V; i++) acc[i] = Vec{};
        UNROLL for (int i = 0; i < V; i++) state[i] = load(x.base[i] + u * x.stride);
        for (int64_t e = csc.pointers[u]; e < csc.pointers[u + 1]; e++) {
            const A *target = grads + static_cast<int64_t>(csc.partners[e]) * (V * L);
            const EdgeWeight<V, LaneWeights, A> weight(weights, e);
            Vec dot{};
            UNROLL for (int i = 0; i < V; i++) {
                Vec grad = load(target + i * L);
                acc[i] += weight.times(grad, i);
                if constexpr (LaneWeights) {
                    A *into = grad_weight + (e * V + i) * L;
                    store(into, load(into) + state[i] * grad);
                } else {
                    dot += state[i] * grad;
                }
            }
            if (!LaneWeights && needs.weight) grad_weight[e] += sum_lanes(dot);
        }
        if (needs.x) UNROLL for (int i = 0; i < V; i++) {
            if (stream) store_streaming(grad_x.base[i] + u * grad_x.stride, acc[i]);
            else store(grad_x.base[i] + u * grad_x.stride, acc[i]);
        }
    }
}

}  // namespace

#endif
