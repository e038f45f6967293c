// The schedule for large graphs: each row of the result is owned by one thread and gathers its neighbours from memory.
#ifndef ELEGANS_ROWS_H
#define ELEGANS_ROWS_H

#include "strip_schedule.h"

namespace {

// Edges between a gather and the prefetch that prepares it.
constexpr int64_t kPrefetchDistance = 12;

// Rows [first, last) of one compressed form; weights and weight gradients of its edges are numbered from zero.
struct Chunk {
    int64_t first, last, first_edge, last_edge;
};

// Up to four vectors of a row, `lanes` features in all.
template <class S> struct Block {
    using A = typename Accumulator<S>::type;
    static constexpr int L = Lanes<A>::count;

    const S *base;
    int64_t stride, lanes;

    template <bool Partial> INLINE typename Lanes<A>::vec read(int64_t n, int i) const {
        const S *from = base + n * stride + i * L;
        if (Partial && lanes < (i + 1) * L) return lanes > i * L ? load_part(from, lanes - i * L) : typename Lanes<A>::vec{};
        return load(from);
    }
    template <int V> INLINE void prefetch(int64_t n) const {
        const char *from = reinterpret_cast<const char *>(base + n * stride);
        for (int line = 0; line < V * int(sizeof(S)) * L; line += 64) __builtin_prefetch(from + line, 0, 3);
    }
};

template <int V, bool Partial, class T, class Vec> INLINE void write(T *to, const Vec *values, int L, int64_t lanes) {
    UNROLL for (int i = 0; i < V; i++) {
        if (!Partial || lanes >= (i + 1) * L) store(to + i * L, values[i]);
        else if (lanes > i * L) store_part(to + i * L, values[i], lanes - i * L);
    }
}

template <int V, bool LaneWeights, bool Partial, bool Product, class S, class A>
void combine_rows(const Csr &csr, const Chunk &chunk, int64_t edges, const A *weights, const A *share, const Block<S> &x,
                  S *y, int64_t y_stride) {
    using Vec = typename Lanes<A>::vec;
    for (int64_t v = chunk.first; v < chunk.last; v++) {
        Vec acc[V];
        UNROLL for (int i = 0; i < V; i++) acc[i] = Product ? Vec{} + 1 : Vec{};
        for (int64_t e = csr.pointers[v]; e < csr.pointers[v + 1]; e++) {
            x.template prefetch<V>(csr.partners[smaller(e + kPrefetchDistance, edges - 1)]);
            const EdgeWeight<V, LaneWeights, A> weight(weights, e - chunk.first_edge);
            UNROLL for (int i = 0; i < V; i++) {
                Vec message = weight.times(x.template read<Partial>(csr.partners[e], i), i);
                if constexpr (Product) acc[i] *= message;
                else acc[i] += message;
            }
        }
        if (share) UNROLL for (int i = 0; i < V; i++) acc[i] *= share[v];
        write<V, Partial>(y + v * y_stride, acc, Lanes<A>::count, x.lanes);
    }
}

template <int V, bool LaneWeights, bool Partial, class S, class A>
void max_rows(const Csr &csr, const Chunk &chunk, int64_t edges, const A *weights, const Block<S> &x, S *y, int32_t *winner,
              int64_t y_stride) {
    using Vec = typename Lanes<A>::vec;
    using Mask = typename Lanes<A>::mask;
    constexpr int L = Lanes<A>::count;
    for (int64_t v = chunk.first; v < chunk.last; v++) {
        Vec best[V];
        Mask who[V];
        UNROLL for (int i = 0; i < V; i++) best[i] = Vec{}, who[i] = Mask{} - 1;
        for (int64_t e = csr.pointers[v]; e < csr.pointers[v + 1]; e++) {
            x.template prefetch<V>(csr.partners[smaller(e + kPrefetchDistance, edges - 1)]);
            const EdgeWeight<V, LaneWeights, A> weight(weights, e - chunk.first_edge);
            const Mask id = Mask{} + csr.perm[e];
            UNROLL for (int i = 0; i < V; i++) {
                Vec message = weight.times(x.template read<Partial>(csr.partners[e], i), i);
                if (e == csr.pointers[v]) best[i] = message, who[i] = id;
                else compete(message, id, best[i], who[i]);
            }
        }
        write<V, Partial>(y + v * y_stride, best, L, x.lanes);
        UNROLL for (int i = 0; i < V; i++)
            for (int64_t k = 0; k < smaller<int64_t>(L, x.lanes - i * L); k++)
                winner[v * y_stride + i * L + k] = static_cast<int32_t>(who[i][k]);
    }
}

// The winners of one row as integer vectors.
template <int V, class A> INLINE void read_winners(const int32_t *from, int64_t lanes, typename Lanes<A>::mask *who) {
    constexpr int L = Lanes<A>::count;
    UNROLL for (int i = 0; i < V; i++) {
        typename Lanes<A>::integer numbers[L];
        for (int k = 0; k < L; k++) numbers[k] = i * L + k < lanes ? from[i * L + k] : -1;
        who[i] = load(numbers);
    }
}

// Gradients of sum, mean and max for the sources of a chunk; all edges of a source belong to it, so no sums are shared.
template <int V, bool LaneWeights, bool Partial, bool Max, class S, class A>
void differentiate_rows(const Csr &csc, const Chunk &chunk, int64_t edges, const A *weights, const A *share,
                        const Block<S> &grad, const Block<S> &x, const int32_t *winner, int64_t out_stride, S *grad_x,
                        A *grad_weight) {
    using Vec = typename Lanes<A>::vec;
    constexpr int L = Lanes<A>::count;
    for (int64_t u = chunk.first; u < chunk.last; u++) {
        Vec acc[V], state[V];
        UNROLL for (int i = 0; i < V; i++) acc[i] = Vec{}, state[i] = x.template read<Partial>(u, i);
        for (int64_t e = csc.pointers[u]; e < csc.pointers[u + 1]; e++) {
            const int64_t v = csc.partners[e], local = e - chunk.first_edge;
            grad.template prefetch<V>(csc.partners[smaller(e + kPrefetchDistance, edges - 1)]);
            EdgeWeight<V, LaneWeights, A> weight(weights, local);
            typename Lanes<A>::mask who[V];
            if constexpr (Max) read_winners<V, A>(winner + v * out_stride, x.lanes, who);
            Vec dot{};
            UNROLL for (int i = 0; i < V; i++) {
                Vec g = grad.template read<Partial>(v, i);
                if constexpr (Max) g = who[i] == csc.perm[e] ? g : Vec{};
                if (share) g *= share[v];
                acc[i] += weight.times(g, i);
                if constexpr (LaneWeights) {
                    A *into = grad_weight + (local * V + i) * L;
                    store(into, load(into) + state[i] * g);
                } else {
                    dot += state[i] * g;
                }
            }
            if constexpr (!LaneWeights) grad_weight[local] += sum_lanes(dot);
        }
        if (grad_x) write<V, Partial>(grad_x + u * out_stride, acc, L, x.lanes);
    }
}

template <class S> struct RowSchedule {
    using A = typename Accumulator<S>::type;
    static constexpr int L = Lanes<A>::count;

    const Problem<S> problem;
    const Cut cut;
    const elegans_call &call;

    explicit RowSchedule(const elegans_call &c) : problem(c), cut(problem.cut()), call(problem.call) {}

    int forward() {
        return run(problem.csr, [&](const Chunk &chunk, const Strip &block, int64_t sample, const A *weights, A *) {
            specialise_block(block, [&](auto v, auto lane_weights, auto partial) {
                constexpr int V = decltype(v)::value;
                constexpr bool W = decltype(lane_weights)::value, P = decltype(partial)::value;
                const Block<S> x = this->block(problem.x, block, sample);
                S *y = const_cast<S *>(this->block(as_const(problem.y), block, sample).base);
                const int64_t stride = problem.y.neuron;
                if (call.reduce == ELEGANS_MAX)
                    max_rows<V, W, P>(problem.csr, chunk, call.edges, weights, x, y, winners(block, sample), stride);
                else if (call.reduce == ELEGANS_MUL)
                    combine_rows<V, W, P, true>(problem.csr, chunk, call.edges, weights, share, x, y, stride);
                else
                    combine_rows<V, W, P, false>(problem.csr, chunk, call.edges, weights, share, x, y, stride);
            });
        });
    }

    int backward() {
        return run(problem.csc, [&](const Chunk &chunk, const Strip &block, int64_t sample, const A *weights, A *sums) {
            specialise_block(block, [&](auto v, auto lane_weights, auto partial) {
                constexpr int V = decltype(v)::value;
                constexpr bool W = decltype(lane_weights)::value, P = decltype(partial)::value;
                const Block<S> x = this->block(problem.x, block, sample), grad = this->block(problem.grad, block, sample);
                S *out = problem.needs.x ? const_cast<S *>(this->block(as_const(problem.grad_x), block, sample).base) : nullptr;
                const int64_t stride = problem.grad_x.neuron;
                if (call.reduce == ELEGANS_MAX)
                    differentiate_rows<V, W, P, true>(problem.csc, chunk, call.edges, weights, share, grad, x,
                                                      winners(block, sample), stride, out, sums);
                else
                    differentiate_rows<V, W, P, false>(problem.csc, chunk, call.edges, weights, share, grad, x, nullptr,
                                                       stride, out, sums);
            });
        });
    }

private:
    const A *share = nullptr;

    static View<const S> as_const(const View<S> &v) { return {v.data, v.batch, v.neuron, v.channel}; }

    Block<S> block(const View<const S> &view, const Strip &strip, int64_t sample) const {
        int64_t lanes = 0;
        for (int i = 0; i < strip.vectors; i++) lanes += strip.pieces[i].lanes;
        return {address(view, strip.pieces[0]) + sample * view.batch, view.neuron, lanes};
    }
    int32_t *winners(const Strip &strip, int64_t sample) const {
        return address(problem.winner, strip.pieces[0]) + sample * problem.winner.batch;
    }

    // Compile-time shapes: whole vectors, and with masked ends one or four of them; lane weights are staged four wide.
    template <class Body> void specialise_block(const Strip &block, Body body) const {
        if (problem.lane_weights) return body(Count<kStripVectors>{}, Yes{}, Yes{});
        if (block.full && block.vectors == 1) return body(Count<1>{}, No{}, No{});
        if (block.full && block.vectors == 2) return body(Count<2>{}, No{}, No{});
        if (block.full) return body(Count<kStripVectors>{}, No{}, No{});
        if (block.vectors == 1) return body(Count<1>{}, No{}, Yes{});
        return body(Count<kStripVectors>{}, No{}, Yes{});
    }

    // Up to four vectors of a row: block `index` of a channel, for sample 0.
    Strip feature_block(int64_t channel, int64_t index) const {
        Strip strip;
        const int64_t first = index * kStripVectors, vectors = ceil_div(problem.inner, L);
        strip.vectors = problem.lane_weights ? kStripVectors : Cut::rounded(vectors - first);
        strip.full = true;
        for (int i = 0; i < strip.vectors; i++) {
            strip.pieces[i] = first + i < vectors ? cut.features(0, channel, first + i) : Piece{0, 0, 0, 0, 0};
            strip.full = strip.full && strip.pieces[i].lanes == L;
        }
        return strip;
    }

    // Chunks of rows with about equally many edges, cut by size alone.
    Chunk chunk(const Csr &graph, int64_t index, int64_t size) const {
        auto boundary = [&](int64_t wanted) {
            int64_t low = 0, high = graph.neurons;
            while (low < high) {
                const int64_t middle = (low + high) / 2;
                if (graph.pointers[middle] + middle < wanted) low = middle + 1;
                else high = middle;
            }
            return low;
        };
        const int64_t first = boundary(index * size), last = boundary((index + 1) * size);
        return {first, last, graph.pointers[first], graph.pointers[last]};
    }

    template <class Kernel> int run(const Csr &graph, Kernel kernel) {
        const int64_t total = call.edges + graph.neurons;
        const int64_t size = larger<int64_t>(64, smaller<int64_t>(total / 256, 8192)), chunks = ceil_div(total, size);
        int64_t most = 0;
        for (int64_t i = 0; i < chunks; i++) {
            const Chunk c = chunk(graph, i, size);
            most = larger(most, c.last_edge - c.first_edge);
        }
        const int64_t blocks = ceil_div(ceil_div(problem.inner, L), kStripVectors);
        const int64_t width = problem.lane_weights ? kStripVectors * L : 1;
        const int64_t work = total * call.batch * problem.channels * ceil_div(problem.inner, L);
        const int threads = useful_threads(call.threads, chunks, work);
        Scratch shares(1, Arena::bytes<A>(graph.neurons)), scratch(threads, 2 * Arena::bytes<A>(most * width));
        if (!shares || !scratch) return 1;
        share = shares_of(call.reduce, problem.csr, reinterpret_cast<A *>(shares.slice(0)));
#pragma omp parallel num_threads(threads) if (threads > 1)
        {
            Arena arena(scratch.slice(thread_number()));
            A *weights = arena.take<A>(most * width), *sums = arena.take<A>(most * width);
#pragma omp for schedule(dynamic, 1)
            for (int64_t i = 0; i < chunks; i++) run_chunk(graph, chunk(graph, i, size), blocks, weights, sums, kernel);
        }
        return 0;
    }

    // Weights are staged once per channel (or block of lane weights) and serve all samples.
    template <class Kernel>
    void run_chunk(const Csr &graph, const Chunk &chunk, int64_t blocks, A *weights, A *sums, Kernel kernel) const {
        const int64_t groups = problem.lane_weights ? blocks : problem.channels;
        for (int64_t group = 0; group < groups; group++) {
            const Strip like = problem.lane_weights ? feature_block(0, group) : feature_block(group, 0);
            const int64_t edges = chunk.last_edge - chunk.first_edge;
            problem.stage_weights(graph, chunk.first_edge, chunk.last_edge, like, weights);
            memset(sums, 0, static_cast<size_t>(edges * problem.weight_width(like)) * sizeof(A));
            for (int64_t sample = 0; sample < call.batch; sample++) {
                if (problem.lane_weights) kernel(chunk, like, sample, weights, sums);
                for (int64_t b = 0; !problem.lane_weights && b < blocks; b++)
                    kernel(chunk, feature_block(group, b), sample, weights, sums);
            }
            if (problem.needs.weight) problem.store_weight_gradient(graph, chunk.first_edge, chunk.last_edge, like, sums);
        }
    }
};

}  // namespace

#endif
