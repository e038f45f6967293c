// The strip schedule: cuts a call into jobs, runs the strip kernels on them, and adds the jobs' weight gradients in order.
#ifndef ELEGANS_STRIP_SCHEDULE_H
#define ELEGANS_STRIP_SCHEDULE_H

#if defined(_OPENMP)
#include <omp.h>
#endif

#include "select.h"

namespace {

inline int thread_number() {
#if defined(_OPENMP)
    return omp_get_thread_num();
#else
    return 0;
#endif
}

// The number of jobs and the order of the sums depend on the call alone: the result is the same for any number of threads.
constexpr int64_t kJobs = 64;
constexpr int64_t kStripsPerJob = 4;

// Outputs larger than this are written past the cache.
constexpr int64_t kStreamBytes = int64_t(8) << 20;

struct Jobs {
    int64_t strips, parts, count;

    explicit Jobs(const Cut &cut) : strips(cut.strips) {
        // Few strips: each is a job, so that two strips keep two threads busy.
        int64_t wanted = larger(smaller(cut.strips, kStripsPerJob), ceil_div(cut.strips, kStripsPerJob));
        wanted = smaller(wanted, kJobs / smaller(kJobs, cut.groups));
        parts = larger<int64_t>(1, wanted);
        count = cut.groups * parts;
    }
    int64_t group(int64_t job) const { return job / parts; }
    int64_t first(int64_t job) const { return strips * (job % parts) / parts; }
    int64_t last(int64_t job) const { return strips * (job % parts + 1) / parts; }
};

template <int N> struct Count { static constexpr int value = N; };
struct Yes { static constexpr bool value = true; };
struct No { static constexpr bool value = false; };

// Calls body(V, LaneWeights) with compile-time values.
template <class Body> INLINE void specialise(int vectors, bool lane_weights, Body body) {
    auto with = [&](auto v) { lane_weights ? body(v, Yes{}) : body(v, No{}); };
    switch (vectors) {
        case 1: return with(Count<1>{});
        case 2: return with(Count<2>{});
        default: return with(Count<4>{});
    }
}

inline bool adds(int64_t reduce) { return reduce != ELEGANS_MUL && reduce != ELEGANS_MAX; }

// What each edge of a target counts in a scaled sum, filled into `share`; null for the other reduces.
template <class A> const A *shares_of(int64_t reduce, const Csr &csr, A *share) {
    if (reduce == ELEGANS_SUM || !adds(reduce)) return nullptr;
    for (int64_t v = 0; v < csr.neurons; v++) {
        const A degree = static_cast<A>(larger(1, csr.pointers[v + 1] - csr.pointers[v]));
        share[v] = A(1) / degree;  // ELEGANS_MEAN
    }
    return share;
}

inline int64_t largest_degree(const Csr &csr) {
    int64_t most = 0;
    for (int64_t v = 0; v < csr.neurons; v++) most = larger<int64_t>(most, csr.pointers[v + 1] - csr.pointers[v]);
    return most;
}

template <class S> struct StripSchedule {
    using A = typename Accumulator<S>::type;
    using Number = typename Lanes<A>::integer;
    static constexpr int L = Lanes<A>::count;

    const Problem<S> problem;
    const Cut cut;
    const Jobs jobs;
    const int64_t neurons, edges, reduce, strip_size, weight_size;
    const int threads;
    const A *share = nullptr;

    explicit StripSchedule(const elegans_call &call)
        : problem(call), cut(problem.cut()), jobs(cut), neurons(call.neurons), edges(call.edges), reduce(call.reduce),
          strip_size(neurons * cut.width() * L), weight_size(edges * (problem.lane_weights ? cut.width() * L : 1)),
          threads(useful_threads(call.threads, jobs.count, cut.groups * cut.strips * cut.width() * (edges + neurons))) {}

    bool streams(bool full) const {
        return full && call().batch * neurons * call().channels * call().inner * int64_t(sizeof(S)) >= kStreamBytes;
    }
    const elegans_call &call() const { return problem.call; }

    int forward() {
        Scratch shares(1, Arena::bytes<A>(neurons));
        Scratch scratch(threads, 3 * Arena::bytes<A>(strip_size) + Arena::bytes<A>(weight_size));
        if (!shares || !scratch) return 1;
        share = shares_of(reduce, problem.csr, reinterpret_cast<A *>(shares.slice(0)));
#pragma omp parallel num_threads(threads) if (threads > 1)
        {
            Arena arena(scratch.slice(thread_number()));
            A *buffer = arena.take<A>(strip_size), *out = arena.take<A>(strip_size);
            Number *winner = arena.take<Number>(strip_size);
            A *weights = arena.take<A>(weight_size);
            int64_t staged = -1;
#pragma omp for schedule(dynamic, 1)
            for (int64_t job = 0; job < jobs.count; job++) {
                const int64_t group = jobs.group(job);
                for (int64_t s = jobs.first(job); s < jobs.last(job); s++) {
                    const Strip strip = cut.strip(group, s), next = cut.strip(group, smaller(s + 1, jobs.last(job) - 1));
                    if (staged != group) problem.stage_weights(problem.csr, 0, edges, strip, weights);
                    staged = group;
                    pack<S, A>(problem.x, strip, neurons, nullptr, buffer);
                    if (reduce == ELEGANS_MAX) forward_max(strip, weights, buffer, out, winner);
                    else forward_sum(strip, next, weights, buffer, out);
                }
            }
            drain_streaming();
        }
        return 0;
    }

    int backward() {
        const bool through_sources = adds(reduce);
        const Csr &order = through_sources ? problem.csc : problem.csr;
        const int64_t product_size = reduce == ELEGANS_MUL ? largest_degree(problem.csr) * cut.width() * L : 0;
        Scratch shares(1, Arena::bytes<A>(neurons));
        Scratch partial(1, jobs.parts > 1 ? Arena::bytes<A>(jobs.count * weight_size) : 0);
        Scratch scratch(threads,
                        4 * Arena::bytes<A>(strip_size) + 2 * Arena::bytes<A>(weight_size) + Arena::bytes<A>(product_size));
        if (!shares || !partial || !scratch) return 1;
        share = shares_of(reduce, problem.csr, reinterpret_cast<A *>(shares.slice(0)));
        A *partials = reinterpret_cast<A *>(partial.slice(0));
#pragma omp parallel num_threads(threads) if (threads > 1)
        {
            Arena arena(scratch.slice(thread_number()));
            Buffers b{arena.take<A>(strip_size),  arena.take<A>(strip_size),  arena.take<A>(strip_size),
                      arena.take<Number>(strip_size), arena.take<A>(product_size), arena.take<A>(weight_size)};
            A *own = arena.take<A>(weight_size);
            int64_t staged = -1;
#pragma omp for schedule(dynamic, 1)
            for (int64_t job = 0; job < jobs.count; job++) {
                const int64_t group = jobs.group(job);
                const Strip like = cut.strip(group, 0);
                if (staged != group) problem.stage_weights(order, 0, edges, like, b.weights);
                staged = group;
                const int64_t size = edges * problem.weight_width(like);
                A *grad_weight = jobs.parts > 1 ? partials + job * weight_size : own;
                memset(grad_weight, 0, static_cast<size_t>(size) * sizeof(A));
                for (int64_t s = jobs.first(job); s < jobs.last(job); s++) {
                    const Strip strip = cut.strip(group, s), next = cut.strip(group, smaller(s + 1, jobs.last(job) - 1));
                    if (through_sources) backward_sum(strip, next, b, grad_weight);
                    else backward_select(strip, b, grad_weight);
                }
                if (jobs.parts == 1 && problem.needs.weight)
                    problem.store_weight_gradient(order, 0, edges, like, grad_weight);
            }
            if (jobs.parts > 1 && problem.needs.weight) add_partials(order, partials);
            drain_streaming();
        }
        return 0;
    }

private:
    struct Buffers {
        A *first, *second, *third;
        Number *winner;
        A *products, *weights;
    };

    void forward_sum(const Strip &strip, const Strip &next, const A *weights, const A *buffer, A *staged) const {
        const Ahead ahead(problem.x, next);
        specialise(strip.vectors, problem.lane_weights, [&](auto v, auto lane_weights) {
            constexpr int V = decltype(v)::value;
            constexpr bool W = decltype(lane_weights)::value;
            auto run = [&](const auto &out, bool stream) {
                if (reduce == ELEGANS_MUL) combine_strip<V, W, true>(problem.csr, weights, share, buffer, out, stream, ahead);
                else combine_strip<V, W, false>(problem.csr, weights, share, buffer, out, stream, ahead);
            };
            const Rows<S> in_place(problem.y, strip);
            if (strip.full) return run(in_place, streams(true) && in_place.template aligned<V>());
            run(Rows<A>(staged, V, L), false);
            unpack<S, A>(problem.y, strip, neurons, L, staged);
        });
    }

    void forward_max(const Strip &strip, const A *weights, const A *buffer, A *out, Number *winner) const {
        specialise(strip.vectors, problem.lane_weights, [&](auto v, auto lane_weights) {
            max_strip<decltype(v)::value, decltype(lane_weights)::value, A>(problem.csr, weights, buffer, out, winner);
        });
        unpack<S, A>(problem.y, strip, neurons, L, out);
        unpack_winner(strip, winner);
    }

    void backward_sum(const Strip &strip, const Strip &next, const Buffers &b, A *grad_weight) const {
        pack<S, A>(problem.grad, strip, neurons, share, b.first);
        if (!strip.full) pack<S, A>(problem.x, strip, neurons, nullptr, b.second);
        const Ahead ahead_x(problem.x, next), ahead_grad(problem.grad, next);
        specialise(strip.vectors, problem.lane_weights, [&](auto v, auto lane_weights) {
            constexpr int V = decltype(v)::value;
            auto run = [&](const auto &x, const auto &grad_x, bool stream) {
                differentiate_strip<V, decltype(lane_weights)::value>(problem.csc, b.weights, b.first, x, grad_x,
                                                                      grad_weight, problem.needs, stream, ahead_x, ahead_grad);
            };
            const Rows<S> in_place(problem.grad_x, strip);
            if (strip.full)
                return run(Rows<const S>(problem.x, strip), in_place, streams(true) && in_place.template aligned<V>());
            run(Rows<A>(b.second, V, L), Rows<A>(b.third, V, L), false);
            if (problem.needs.x) unpack<S, A>(problem.grad_x, strip, neurons, L, b.third);
        });
    }

    void backward_select(const Strip &strip, const Buffers &b, A *grad_weight) const {
        const int64_t size = neurons * strip.vectors * L;
        pack<S, A>(problem.x, strip, neurons, nullptr, b.first);
        pack<S, A>(problem.grad, strip, neurons, nullptr, b.second);
        memset(b.third, 0, static_cast<size_t>(size) * sizeof(A));
        if (reduce == ELEGANS_MAX) pack_winner(strip, b.winner);
        specialise(strip.vectors, problem.lane_weights, [&](auto v, auto lane_weights) {
            constexpr int V = decltype(v)::value;
            constexpr bool W = decltype(lane_weights)::value;
            if (reduce == ELEGANS_MAX)
                max_gradient_strip<V, W, A>(problem.csr, b.weights, b.first, b.second, b.winner, b.third, grad_weight);
            else
                mul_gradient_strip<V, W, A>(problem.csr, b.weights, b.first, b.second, b.products, b.third, grad_weight);
        });
        if (problem.needs.x) unpack<S, A>(problem.grad_x, strip, neurons, L, b.third);
    }

    // Winners are int32 in memory and as wide as the accumulator in vectors; unused lanes win nothing.
    void unpack_winner(const Strip &strip, const Number *winner) const {
        unpack<int32_t, Number>(problem.winner, strip, neurons, L, winner);
    }
    void pack_winner(const Strip &strip, Number *winner) const {
        const int64_t width = strip.vectors * L;
        for (int64_t i = 0; i < neurons * width; i++) winner[i] = -1;
        for (int i = 0; i < strip.vectors; i++)
            for (int64_t s = 0; s < strip.pieces[i].samples; s++) {
                const int32_t *from = address(problem.winner, strip.pieces[i]) + s * problem.winner.batch;
                Number *to = winner + i * L + s * strip.pieces[i].lanes;
                for (int64_t n = 0; n < neurons; n++)
                    for (int64_t k = 0; k < strip.pieces[i].lanes; k++)
                        to[n * width + k] = from[n * problem.winner.neuron + k];
            }
    }

    // Adds the parts of each group in their order; called by all threads of the team.
    void add_partials(const Csr &order, A *partials) const {
        constexpr int64_t kEdges = 512;
        const int64_t chunks = ceil_div(edges, kEdges);
#pragma omp for schedule(static)
        for (int64_t index = 0; index < cut.groups * chunks; index++) {
            const int64_t group = index / chunks, e0 = index % chunks * kEdges, e1 = smaller(e0 + kEdges, edges);
            const Strip like = cut.strip(group, 0);
            const int64_t width = problem.weight_width(like), size = (e1 - e0) * width;
            A *sum = partials + group * jobs.parts * weight_size + e0 * width;
            for (int64_t part = 1; part < jobs.parts; part++)
                for (int64_t i = 0; i < size; i++) sum[i] += sum[part * weight_size + i];
            problem.store_weight_gradient(order, e0, e1, like, sum);
        }
    }
};

}  // namespace

#endif
