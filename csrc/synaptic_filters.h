// The filters of a call in the order in which the kernels read them, and their gradient back in the caller's.
#ifndef ELEGANS_SYNAPTIC_FILTERS_H
#define ELEGANS_SYNAPTIC_FILTERS_H

#include "problem.h"
#include "synaptic.h"

namespace {

template <class A> struct Staged {
    const A *weights;      // [group, edge, step, rows of a run]
    const int64_t *shift;  // of each step
};

template <class S> struct Filters {
    using A = typename Accumulator<S>::type;

    const synaptic_call &call;
    // A step is a run of `rows` taps of one column.
    const int64_t taps, rows, steps;

    explicit Filters(const synaptic_call &c)
        : call(c), taps(c.kernel_height * c.kernel_width),
          rows(c.kernel_height == 3 || c.kernel_height == 5 ? c.kernel_height : 1), steps(taps / rows) {}

    int64_t size() const { return call.weight_channels * call.edges * taps; }
    int64_t bytes() const { return Arena::bytes<A>(size()) + Arena::bytes<int64_t>(steps) + Arena::bytes<int64_t>(taps); }

    // In the order of the graph's edges, turned by 180 degrees or not; rows of maps lie `stride` elements apart.
    Staged<A> stage(Arena &arena, const Csr &graph, int64_t stride, bool turned) const {
        A *weights = arena.take<A>(size());
        int64_t *shift = arena.take<int64_t>(steps);
        const int64_t height = call.kernel_height, width = call.kernel_width;
        for (int64_t s = 0; s < steps; s++) shift[s] = (s / width * rows - height / 2) * stride + column_of(s) - width / 2;
        int64_t *order = arena.take<int64_t>(taps);
        for (int64_t s = 0, i = 0; s < steps; s++)
            for (int64_t k = 0; k < rows; k++, i++) {
                const int64_t tap = (s / width * rows + k) * width + column_of(s);
                order[i] = turned ? taps - 1 - tap : tap;
            }
        if (call.weight_dtype == call.dtype) stage_from(pointer<const S>(call.weight), graph, order, weights);
        else stage_from(pointer<const A>(call.weight), graph, order, weights);
        return {weights, shift};
    }

    // The gradient: the sum of each group's parts, in their order; called by all threads of the team.
    void add_parts(int64_t parts, const Csr &graph, const A *partial) const {
        if (call.weight_dtype == call.dtype) add_parts_to(pointer<S>(call.grad_weight), parts, graph, partial);
        else add_parts_to(pointer<A>(call.grad_weight), parts, graph, partial);
    }

private:
    // Steps begin in the middle column: its loads do not straddle cache lines, so they are the ones to wait for memory.
    int64_t column_of(int64_t step) const { return (step + call.kernel_width / 2) % call.kernel_width; }

    template <class W> void stage_from(const W *from, const Csr &graph, const int64_t *order, A *to) const {
        const int64_t groups = call.weight_channels;
        for (int64_t group = 0; group < groups; group++)
            for (int64_t e = 0; e < call.edges; e++, to += taps) {
                const W *filter = from + (graph.perm[e] * groups + group) * taps;
                for (int64_t i = 0; i < taps; i++) to[i] = load_one(filter + order[i]);
            }
    }
    template <class W> void add_parts_to(W *to, int64_t parts, const Csr &graph, const A *partial) const {
        const int64_t groups = call.weight_channels;
#pragma omp for schedule(static)
        for (int64_t e = 0; e < call.edges; e++)
            for (int64_t group = 0; group < groups; group++) {
                const A *from = partial + group * parts * call.edges * taps + e * taps;
                W *filter = to + (graph.perm[e] * groups + group) * taps;
                for (int64_t run = 0, i = 0; run < call.kernel_height; run += rows)
                    for (int64_t column = 0; column < call.kernel_width; column++)
                        for (int64_t k = 0; k < rows; k++, i++) {
                            A sum = from[i];
                            for (int64_t part = 1; part < parts; part++) sum += from[part * call.edges * taps + i];
                            store_one(filter + (run + k) * call.kernel_width + column, sum);
                        }
            }
    }
};

}  // namespace

#endif
