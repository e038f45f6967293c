// The synaptic convolution, and the step around it, for one instruction set; the build compiles this file once per set, as
// it does kernels.cpp.
//
// A block of images is packed so that all its maps stay in a core's second-level cache, then every target sums its edges
// in registers. The gradient of h is the same sum over the transposed graph with turned filters. A step does the rest while
// the block is there; its backward pass makes h again.

#include "kernels.h"
#include "synaptic_filters.h"
#include "synaptic_step.h"
#include "synaptic_tiles.h"

#if defined(_OPENMP)
#include <omp.h>
#endif

namespace {

// Partial sums of the gradients of parameters: as many as there are jobs, which the call's shape alone decides.
constexpr int64_t kParts = 8;
constexpr int64_t kPartBytes = 32 << 20;

inline int64_t this_thread() {
#if defined(_OPENMP)
    return omp_get_thread_num();
#else
    return 0;
#endif
}

// Runs of neurons with about as many edges each.
struct Chunks {
    const Csr &graph;
    int64_t count, edges;

    // Enough of them that `items` pieces of work keep all threads busy. The cut changes no result.
    Chunks(const Csr &graph, int64_t items, int64_t threads) : graph(graph), count(1), edges(graph.pointers[graph.neurons]) {
        if (items < 4 * threads && items % threads != 0) count = smaller(threads, graph.neurons);
    }
    int64_t start(int64_t chunk) const {
        if (chunk >= count) return graph.neurons;
        const int64_t wanted = (edges + graph.neurons) * chunk / count;
        int64_t low = 0, high = graph.neurons;
        while (low < high) {
            const int64_t middle = (low + high) / 2;
            if (graph.pointers[middle] + middle < wanted) low = middle + 1;
            else high = middle;
        }
        return low;
    }
};

template <class S> struct Synaptic {
    using A = typename Accumulator<S>::type;

    const synaptic_call &call;
    const int64_t groups, images;  // groups of maps that share weights, and how many maps each has
    const bool step;
    const MapLayout<A> layout;
    const Csr csr, csc;
    const Filters<S> filters;
    const Tiling<A> tiling;
    const Maps<const S> x, grad;
    const Maps<S> y, grad_x;
    int64_t vector_operations;

    explicit Synaptic(const synaptic_call &c)
        : call(c), groups(c.weight_channels), images(c.batch * c.channels / groups), step(c.activation != ELEGANS_NONE),
          layout(c, images),
          csr{pointer<const int32_t>(c.rowptr), pointer<const int32_t>(c.col), pointer<const int32_t>(c.perm), c.neurons},
          csc{pointer<const int32_t>(c.colptr), pointer<const int32_t>(c.row), pointer<const int32_t>(c.csc_perm), c.neurons},
          filters(c), tiling(layout, filters.rows), x(maps<const S>(c.x, c.x_batch, c.x_neuron, c.x_channel)),
          grad(maps<const S>(c.grad, c.grad_batch, c.grad_neuron, c.grad_channel)), y(result(c.y)), grad_x(result(c.grad_x)),
          vector_operations(groups * ceil_div(images, layout.images) * c.edges * filters.taps * c.height * layout.vectors) {}

    int forward() {
        const ImageBlocks blocks(groups, images, layout.images);
        const int64_t parts = smaller(blocks.count, 4 * call.threads), items = groups * parts;
        const Chunks chunks(csr, items, call.threads);
        const int threads = useful_threads(call.threads, items * chunks.count, vector_operations);
        Scratch shared(1, filters.bytes()), scratch(threads, Arena::bytes<A>(layout.size()) + worker_bytes());
        if (!shared || !scratch) return 1;
        Arena own(shared.slice(0));
        const Staged<A> staged = filters.stage(own, csr, layout.stride, false);
#pragma omp parallel num_threads(threads) if (threads > 1)
        {
            Arena arena(scratch.slice(this_thread()));
            A *buffer = zeros(arena, layout.size());
            Worker worker(*this, arena);
            int64_t packed = -1;
#pragma omp for schedule(dynamic, 1)
            for (int64_t item = 0; item < items * chunks.count; item++) {
                const int64_t which = item / chunks.count, chunk = item % chunks.count;
                const int64_t group = which / parts, end = blocks.count * (which % parts + 1) / parts;
                for (int64_t b = blocks.count * (which % parts) / parts; b < end; b++) {
                    const ImageBlock block = blocks.block(group, b);
                    const ImageBlock next = b + 1 < end ? blocks.block(group, b + 1) : ImageBlock{group, 0, 0};
                    const int64_t number = group * blocks.count + b;
                    if (packed != number) {
                        worker.begin(block);
                        worker.pack_states(block, 0, call.neurons, buffer, step);
                    }
                    packed = number;
                    worker.sum(staged, block, buffer, chunks.start(chunk), chunks.start(chunk + 1), next);
                }
            }
        }
        return 0;
    }

    int backward() {
        const bool need_weight = call.grad_weight != 0, need_states = step || need_weight;
        const bool need_inner = call.grad_x || call.grad_scale || call.grad_leak;
        const int64_t sheets = need_weight ? layout.sheets(images) : 1;
        const ImageBlocks blocks(groups, images, sheets * layout.images);
        const int64_t part_size = need_weight ? call.edges * filters.taps : 0, sums_size = step ? call.neurons * step_sums() : 0;
        const int64_t most = kPartBytes / larger<int64_t>(1, (part_size + sums_size) * groups * static_cast<int64_t>(sizeof(A)));
        const int64_t parts = smaller(blocks.count, larger<int64_t>(1, smaller(kParts, most)));
        const int64_t items = groups * parts;
        const Chunks chunks(csc, items, call.threads);
        const int threads = useful_threads(call.threads, items * chunks.count, 2 * vector_operations);
        Scratch shared(1, filters.bytes()), sums(1, Arena::bytes<A>(items * (part_size + sums_size)));
        Scratch scratch(threads, 2 * Arena::bytes<A>(sheets * layout.size()) + worker_bytes());
        if (!shared || !sums || !scratch) return 1;
        Arena own(shared.slice(0));
        const Staged<A> staged = filters.stage(own, csc, layout.stride, true);
        A *partial = reinterpret_cast<A *>(sums.slice(0)), *step_partial = partial + items * part_size;
#pragma omp parallel num_threads(threads) if (threads > 1)
        {
            Arena arena(scratch.slice(this_thread()));
            A *states = zeros(arena, sheets * layout.size()), *grads = zeros(arena, sheets * layout.size());
            Worker worker(*this, arena);
#pragma omp for schedule(dynamic, 1)
            for (int64_t item = 0; item < items * chunks.count; item++) {
                const int64_t which = item / chunks.count, chunk = item % chunks.count;
                const int64_t group = which / parts, part = which % parts;
                const int64_t first = chunks.start(chunk), last = chunks.start(chunk + 1);
                A *into = partial + which * part_size, *step_into = step_partial + which * sums_size;
                if (need_weight) clear(into, csc.pointers[first] * filters.taps, csc.pointers[last] * filters.taps);
                if (step) clear(step_into, first * step_sums(), last * step_sums());
                const int64_t end = blocks.count * (part + 1) / parts;
                for (int64_t b = blocks.count * part / parts; b < end; b++) {
                    const ImageBlock block = blocks.block(group, b);
                    const int64_t used = ceil_div(block.count, layout.images);
                    for (int64_t s = 0; s < used; s++) {
                        const ImageBlock sheet = block.sheet(s, layout.images);
                        const ImageBlock after = s + 1 < used ? block.sheet(s + 1, layout.images) : ImageBlock{group, 0, 0};
                        A *state = states + s * layout.size(), *gradient = grads + s * layout.size();
                        worker.begin(sheet);
                        pack_maps(layout, grad, sheet, 0, call.neurons, gradient);
                        if (need_states) worker.pack_states(sheet, first, last, state, step && !need_inner);
                        if (need_inner) worker.sum_back(staged, sheet, gradient, state, first, last, after, step_into);
                    }
                    const ImageBlock next = b + 1 < end ? blocks.block(group, b + 1).sheet(0, layout.images) : ImageBlock{group, 0, 0};
                    if (need_weight) correlate_all(used, states, grads, first, last, into, next);
                }
            }
            if (need_weight) filters.add_parts(parts, csc, partial);
            if (step) add_step_parts(parts, step_partial);
        }
        return 0;
    }

private:
    // What a thread needs for maps that it works on.
    struct Worker {
        const Synaptic &problem;
        const MapLayout<A> &layout;
        Step<A> steps;
        A *out, *state;  // a map each
        Tile<A> *tiles;

        Worker(const Synaptic &problem, Arena &arena)
            : problem(problem), layout(problem.layout), steps(problem.call, layout, arena),
              out(zeros(arena, layout.height * layout.stride)), state(zeros(arena, layout.height * layout.stride)),
              tiles(arena.take<Tile<A>>(problem.tiling.most(layout.vectors))) {}

        void begin(const ImageBlock &sheet) {
            if (problem.step) steps.begin(sheet);
        }

        // Few maps at a time: they are written and read again in the nearest cache.
        void pack_states(const ImageBlock &sheet, int64_t first, int64_t last, A *buffer, bool activate) {
            constexpr int64_t kTogether = 8;
            for (int64_t n = first; n < last; n += kTogether) {
                const int64_t end = smaller(n + kTogether, last);
                pack_maps(layout, problem.x, sheet, n, end, buffer);
                for (int64_t k = n; activate && k < end; k++) steps.activate(k, buffer + layout.front() + k * layout.map);
            }
        }

        void sum(const Staged<A> &staged, const ImageBlock &block, const A *buffer, int64_t first, int64_t last, const ImageBlock &next) {
            convolve(problem.csr, staged, block, buffer, first, last, [&](int64_t v, auto convolved) {
                fetch_maps<true>(problem.y, block, v, problem.bytes_of_map());
                fetch_maps<false>(problem.x, next, v, problem.bytes_of_map());
                if (problem.step) pack_map(layout, problem.x, block, v, state);
                convolved();
                if (problem.step) steps.add_state(v, state, out);
                unpack_map(layout, problem.y, block, v, out);
            });
        }

        void sum_back(const Staged<A> &staged, const ImageBlock &sheet, const A *grads, A *states, int64_t first, int64_t last,
                      const ImageBlock &next, A *sums) {
            convolve(problem.csc, staged, sheet, grads, first, last, [&](int64_t u, auto convolved) {
                if (problem.call.grad_x) fetch_maps<true>(problem.grad_x, sheet, u, problem.bytes_of_map());
                fetch_maps<false>(problem.grad, next, u, problem.bytes_of_map());
                fetch_maps<false>(problem.x, next, u, problem.bytes_of_map());
                convolved();
                const int64_t place = layout.front() + u * layout.map;
                if (problem.step) steps.differentiate(u, grads + place, states + place, out, sums + u * problem.step_sums());
                if (problem.call.grad_x) unpack_map(layout, problem.grad_x, sheet, u, out);
            });
        }

    private:
        // Calls body(neuron, convolved); convolved() then writes the sum of the neuron's edges to `out`.
        template <class Body>
        void convolve(const Csr &graph, const Staged<A> &staged, const ImageBlock &sheet, const A *buffer, int64_t first,
                      int64_t last, Body body) {
            const Filters<S> &filters = problem.filters;
            const A *weights = staged.weights + sheet.group * problem.call.edges * filters.taps;
            const Taps<A> shared{graph.partners, weights, staged.shift, filters.steps, layout.stride, layout.map};
            const int64_t count = problem.tiling.cut(layout.vectors_of(sheet.count), tiles);
            const A *origin = buffer + layout.front();
            for (int64_t v = first; v < last; v++)
                body(v, [&] {
                    for (int64_t t = 0; t < count; t++) {
                        const int64_t place = tiles[t].row * layout.stride + tiles[t].vector * Register<A>::count;
                        tiles[t].kernel(shared, origin + place, graph.pointers[v], graph.pointers[v + 1], out + place);
                    }
                });
        }
    };

    int64_t worker_bytes() const {
        return Step<A>::bytes(layout) + 2 * Arena::bytes<A>(layout.height * layout.stride) +
               Arena::bytes<Tile<A>>(tiling.most(layout.vectors));
    }
    int64_t bytes_of_map() const { return call.height * call.width * static_cast<int64_t>(sizeof(S)); }
    // Of a neuron in a group: the gradients of scale and shift of each channel, and that of leak.
    int64_t step_sums() const { return 2 * (call.channels / groups) + 1; }

    template <class T> Maps<T> maps(int64_t data, int64_t batch, int64_t neuron, int64_t channel) const {
        return {pointer<T>(data), batch, neuron, channel, call.channels / call.weight_channels};
    }
    Maps<S> result(int64_t data) const {
        const int64_t map = call.height * call.width;
        return maps<S>(data, call.neurons * call.channels * map, call.channels * map, map);
    }

    static A *zeros(Arena &arena, int64_t count) {
        A *buffer = arena.template take<A>(count);
        clear(buffer, 0, count);
        return buffer;
    }
    static void clear(A *buffer, int64_t first, int64_t last) {
        memset(buffer + first, 0, static_cast<size_t>(last - first) * sizeof(A));
    }

    // Adds the share of a block of sheets to the weight gradients of the edges that leave the neurons first .. last - 1.
    void correlate_all(int64_t sheets, const A *states, const A *grads, int64_t first, int64_t last, A *into,
                       const ImageBlock &next) const {
        const Extent extent{layout.height, layout.vectors, layout.stride, sheets, layout.size()};
        const int64_t columns = call.kernel_width;
        const int64_t up = call.kernel_height / 2 * layout.stride;
        for (int64_t u = first; u < last; u++) {
            fetch_maps<false>(grad, next, u, bytes_of_map());
            fetch_maps<false>(x, next, u, bytes_of_map());
            const A *state = states + layout.front() + u * layout.map - up;
            for (int64_t e = csc.pointers[u]; e < csc.pointers[u + 1]; e++) {
                const A *gradient = grads + layout.front() + csc.partners[e] * layout.map + columns / 2;
                const int64_t after = smaller<int64_t>(e + 1, call.edges - 1);
                const int64_t further = (csc.partners[after] - csc.partners[e]) * layout.map;
                A *sums = into + e * filters.taps;
                for (int64_t run = 0; run < call.kernel_height; run += filters.rows, sums += columns * filters.rows) {
                    const A *from = state + run * layout.stride;
                    if (filters.rows == 3) correlate_run<3>(from, gradient, further, columns, extent, sums);
                    else if (filters.rows == 5) correlate_run<5>(from, gradient, further, columns, extent, sums);
                    else correlate_run<1>(from, gradient, further, columns, extent, sums);
                }
            }
        }
    }

    // As for the filters: the sum of the parts, in their order.
    void add_step_parts(int64_t parts, const A *partial) const {
        const int64_t each = step_sums(), shared = call.channels / groups;
        A *scale = pointer<A>(call.grad_scale), *shift = pointer<A>(call.grad_shift), *leak = pointer<A>(call.grad_leak);
#pragma omp for schedule(static)
        for (int64_t n = 0; n < call.neurons; n++) {
            auto sum_of = [&](int64_t group, int64_t place) {
                A sum = 0;
                for (int64_t part = 0; part < parts; part++) sum += partial[((group * parts + part) * call.neurons + n) * each + place];
                return sum;
            };
            A leaks = 0;
            for (int64_t group = 0; group < groups; group++) {
                for (int64_t c = 0; scale && c < shared; c++) {
                    const int64_t at = n * call.channels + group * shared + c;
                    scale[at] = sum_of(group, 2 * c), shift[at] = sum_of(group, 2 * c + 1);
                }
                leaks += sum_of(group, each - 1);
            }
            if (leak) leak[n] = leaks;
        }
    }
};

int run(const synaptic_call &call, bool backward) {
    return with_storage(call.dtype, [&](auto number) {
        Synaptic<decltype(number)> problem(call);
        return backward ? problem.backward() : problem.forward();
    });
}

}  // namespace

namespace ELEGANS_NAMESPACE {

int synaptic_forward(const synaptic_call &call) { return run(call, false); }
int synaptic_backward(const synaptic_call &call) { return run(call, true); }

}  // namespace ELEGANS_NAMESPACE
