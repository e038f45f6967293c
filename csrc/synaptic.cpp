// The synaptic convolution for one instruction set; the build compiles this file once per set, as it does kernels.cpp.
//
// A block of images is packed so that all its maps stay in a core's second-level cache, then every target sums its edges
// in registers. The gradient of x is the same sum over the transposed graph with turned filters.

#include "synaptic_kernels.h"

#include "elegans_gnn.h"
#include "synaptic_tiles.h"

#if defined(_OPENMP)
#include <omp.h>
#endif

namespace {

// Partial sums of the weight gradient: as many as there are jobs, which the call's shape alone decides.
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
    const MapLayout<A> layout;
    const Csr csr, csc;
    const int64_t taps, filter_rows, steps;
    const Tiling<A> tiling;
    int64_t vector_operations;

    explicit Synaptic(const synaptic_call &c)
        : call(c), groups(c.weight_channels), images(c.batch * c.channels / groups), layout(c, images),
          csr{pointer<const int32_t>(c.rowptr), pointer<const int32_t>(c.col), pointer<const int32_t>(c.perm), c.neurons},
          csc{pointer<const int32_t>(c.colptr), pointer<const int32_t>(c.row), pointer<const int32_t>(c.csc_perm), c.neurons},
          taps(c.kernel_height * c.kernel_width),
          filter_rows(c.kernel_height == 3 || c.kernel_height == 5 ? c.kernel_height : 1), steps(taps / filter_rows),
          tiling(layout, filter_rows),
          vector_operations(groups * ceil_div(images, layout.images) * c.edges * taps * c.height * layout.vectors) {}

    int forward() {
        const ImageBlocks blocks(groups, images, layout.images);
        const int64_t parts = smaller(blocks.count, 4 * call.threads), items = groups * parts;
        const Chunks chunks(csr, items, call.threads);
        const int threads = useful_threads(call.threads, items * chunks.count, vector_operations);
        Scratch shared(1, Arena::bytes<A>(weight_size()) + Arena::bytes<int64_t>(steps) + Arena::bytes<int64_t>(taps));
        Scratch scratch(threads, Arena::bytes<A>(layout.size()) + Arena::bytes<A>(tile_size()));
        if (!shared || !scratch) return 1;
        Arena own(shared.slice(0));
        const Staged staged = stage(own, csr, false);
        const Maps<const S> x = maps<const S>(call.x, call.x_batch, call.x_neuron, call.x_channel);
        const Maps<S> y = result(call.y);
#pragma omp parallel num_threads(threads) if (threads > 1)
        {
            Arena arena(scratch.slice(this_thread()));
            A *buffer = zeros(arena, 1), *out = arena.take<A>(tile_size());
            int64_t packed = -1;
#pragma omp for schedule(dynamic, 1)
            for (int64_t item = 0; item < items * chunks.count; item++) {
                const int64_t which = item / chunks.count, chunk = item % chunks.count;
                const int64_t group = which / parts, end = blocks.count * (which % parts + 1) / parts;
                for (int64_t b = blocks.count * (which % parts) / parts; b < end; b++) {
                    const ImageBlock block = blocks.block(group, b);
                    const Ahead ahead{x, b + 1 < end ? blocks.block(group, b + 1) : ImageBlock{group, 0, 0}, bytes_of_map()};
                    const int64_t number = group * blocks.count + b;
                    if (packed != number) pack_maps(layout, x, block, 0, call.neurons, buffer);
                    packed = number;
                    convolve(csr, staged, block, buffer, chunks.start(chunk), chunks.start(chunk + 1), y, out, ahead);
                }
            }
        }
        return 0;
    }

    int backward() {
        const bool need_x = call.grad_x != 0, need_weight = call.grad_weight != 0;
        const int64_t sheets = need_weight ? layout.sheets(images) : 1;
        const ImageBlocks blocks(groups, images, sheets * layout.images);
        const int64_t part_size = call.edges * taps;
        const int64_t most = kPartBytes / larger<int64_t>(1, part_size * groups * static_cast<int64_t>(sizeof(A)));
        const int64_t parts = smaller(blocks.count, larger<int64_t>(1, smaller(kParts, most)));
        const int64_t items = groups * parts;
        const Chunks chunks(csc, items, call.threads);
        const int threads = useful_threads(call.threads, items * chunks.count, 2 * vector_operations);
        Scratch shared(1, Arena::bytes<A>(weight_size()) + Arena::bytes<int64_t>(steps) + Arena::bytes<int64_t>(taps));
        Scratch sums(1, need_weight ? Arena::bytes<A>(items * part_size) : 0);
        Scratch scratch(threads, 2 * Arena::bytes<A>(sheets * layout.size()) + Arena::bytes<A>(tile_size()));
        if (!shared || !sums || !scratch) return 1;
        Arena own(shared.slice(0));
        const Staged staged = stage(own, csc, true);
        A *partial = reinterpret_cast<A *>(sums.slice(0));
        const Maps<const S> x = maps<const S>(call.x, call.x_batch, call.x_neuron, call.x_channel);
        const Maps<const S> grad = maps<const S>(call.grad, call.grad_batch, call.grad_neuron, call.grad_channel);
        const Maps<S> grad_x = result(call.grad_x);
#pragma omp parallel num_threads(threads) if (threads > 1)
        {
            Arena arena(scratch.slice(this_thread()));
            A *states = zeros(arena, sheets), *grads = zeros(arena, sheets), *out = arena.take<A>(tile_size());
#pragma omp for schedule(dynamic, 1)
            for (int64_t item = 0; item < items * chunks.count; item++) {
                const int64_t which = item / chunks.count, chunk = item % chunks.count;
                const int64_t group = which / parts, part = which % parts;
                const int64_t first = chunks.start(chunk), last = chunks.start(chunk + 1);
                A *into = partial + which * part_size;
                if (need_weight)
                    memset(into + csc.pointers[first] * taps, 0,
                           static_cast<size_t>((csc.pointers[last] - csc.pointers[first]) * taps) * sizeof(A));
                const int64_t end = blocks.count * (part + 1) / parts;
                for (int64_t b = blocks.count * part / parts; b < end; b++) {
                    const ImageBlock block = blocks.block(group, b);
                    const ImageBlock next = b + 1 < end ? blocks.block(group, b + 1) : ImageBlock{group, 0, 0};
                    const int64_t used = ceil_div(block.count, layout.images);
                    for (int64_t s = 0; s < used; s++) {
                        const ImageBlock sheet = block.sheet(s, layout.images);
                        const Ahead ahead{x, need_weight ? sheet : ImageBlock{group, 0, 0}, bytes_of_map()};
                        A *buffer = grads + s * layout.size();
                        pack_maps(layout, grad, sheet, 0, call.neurons, buffer);
                        if (need_x) convolve(csc, staged, sheet, buffer, first, last, grad_x, out, ahead);
                        if (need_weight) pack_maps(layout, x, sheet, first, last, states + s * layout.size());
                    }
                    if (need_weight) differentiate(used, states, grads, first, last, into, {grad, next, bytes_of_map()});
                }
            }
            if (need_weight) add_parts(parts, partial);
        }
        return 0;
    }

private:
    // What the next block reads: fetched while this one is computed, so that memory and arithmetic overlap.
    struct Ahead {
        const Maps<const S> &maps;
        ImageBlock block;
        int64_t bytes;
        INLINE void fetch(int64_t neuron) const { fetch_maps<false>(maps, block, neuron, bytes); }
    };
    int64_t bytes_of_map() const { return call.height * call.width * static_cast<int64_t>(sizeof(S)); }

    struct Staged {
        const A *weights;
        const int64_t *shift;
    };

    int64_t weight_size() const { return groups * call.edges * taps; }
    int64_t tile_size() const { return kTileVectors * Register<A>::count; }

    template <class T> Maps<T> maps(int64_t data, int64_t batch, int64_t neuron, int64_t channel) const {
        return {pointer<T>(data), batch, neuron, channel, call.channels / call.weight_channels};
    }
    Maps<S> result(int64_t data) const {
        const int64_t map = call.height * call.width;
        return maps<S>(data, call.neurons * call.channels * map, call.channels * map, map);
    }

    A *zeros(Arena &arena, int64_t sheets) const {
        A *buffer = arena.template take<A>(sheets * layout.size());
        memset(buffer, 0, static_cast<size_t>(sheets * layout.size()) * sizeof(A));
        return buffer;
    }

    // Weights in the order in which the tiles read them: [group, edge, step, rows of a run], turned by 180 degrees or not.
    Staged stage(Arena &arena, const Csr &graph, bool turned) const {
        A *weights = arena.take<A>(weight_size());
        int64_t *shift = arena.take<int64_t>(steps);
        const int64_t height = call.kernel_height, width = call.kernel_width;
        for (int64_t s = 0; s < steps; s++)
            shift[s] = (s / width * filter_rows - height / 2) * layout.stride + column_of(s) - width / 2;
        int64_t *order = arena.take<int64_t>(taps);
        for (int64_t s = 0, i = 0; s < steps; s++)
            for (int64_t k = 0; k < filter_rows; k++, i++) {
                const int64_t tap = (s / width * filter_rows + k) * width + column_of(s);
                order[i] = turned ? taps - 1 - tap : tap;
            }
        if (call.weight_dtype == call.dtype) stage_from(pointer<const S>(call.weight), graph, order, weights);
        else stage_from(pointer<const A>(call.weight), graph, order, weights);
        return {weights, shift};
    }
    template <class W> void stage_from(const W *from, const Csr &graph, const int64_t *order, A *to) const {
        for (int64_t group = 0; group < groups; group++)
            for (int64_t e = 0; e < call.edges; e++, to += taps) {
                const W *filter = from + (graph.perm[e] * groups + group) * taps;
                for (int64_t i = 0; i < taps; i++) to[i] = load_one(filter + order[i]);
            }
    }
    // Steps begin in the middle column: its loads do not straddle cache lines, so they are the ones to wait for memory.
    int64_t column_of(int64_t step) const { return (step + call.kernel_width / 2) % call.kernel_width; }

    void convolve(const Csr &graph, const Staged &staged, const ImageBlock &block, const A *buffer, int64_t first,
                  int64_t last, const Maps<S> &to, A *out, const Ahead &ahead) const {
        const Taps<A> shared{graph.partners, staged.weights + block.group * call.edges * taps, staged.shift,
                             steps,          layout.stride,                                    layout.map};
        const A *origin = buffer + layout.front();
        tiling.each(layout.height, layout.vectors_of(block.count), [&](const Tile &tile, TileKernel<A> kernel) {
            const A *from = origin + tile.row * layout.stride + tile.vector * Register<A>::count;
            const bool once = tile.row == 0 && tile.vector == 0;
            for (int64_t v = first; v < last; v++) {
                if (once) fetch_maps<true>(to, block, v, bytes_of_map()), ahead.fetch(v);
                kernel(shared, from, graph.pointers[v], graph.pointers[v + 1], out);
                unpack_tile(layout, to, block, v, tile, out);
            }
        });
    }

    // Adds the share of a block of sheets to the weight gradients of the edges that leave the neurons first .. last - 1.
    void differentiate(int64_t sheets, const A *states, const A *grads, int64_t first, int64_t last, A *into,
                       const Ahead &ahead) const {
        const Extent extent{layout.height, layout.vectors, layout.stride, sheets, layout.size()};
        const int64_t columns = call.kernel_width;
        const int64_t up = call.kernel_height / 2 * layout.stride;
        for (int64_t u = first; u < last; u++) {
            ahead.fetch(u);
            const A *x = states + layout.front() + u * layout.map - up;
            for (int64_t e = csc.pointers[u]; e < csc.pointers[u + 1]; e++) {
                const A *grad = grads + layout.front() + csc.partners[e] * layout.map + columns / 2;
                const int64_t after = smaller<int64_t>(e + 1, call.edges - 1);
                const int64_t next = (csc.partners[after] - csc.partners[e]) * layout.map;
                A *sums = into + e * taps;
                for (int64_t run = 0; run < call.kernel_height; run += filter_rows, sums += columns * filter_rows) {
                    const A *from = x + run * layout.stride;
                    if (filter_rows == 3) correlate_run<3>(from, grad, next, columns, extent, sums);
                    else if (filter_rows == 5) correlate_run<5>(from, grad, next, columns, extent, sums);
                    else correlate_run<1>(from, grad, next, columns, extent, sums);
                }
            }
        }
    }

    // Adds the parts of each group in their order, back in the caller's order of edges; called by all threads of the team.
    void add_parts(int64_t parts, const A *partial) const {
        if (call.weight_dtype == call.dtype) add_parts_to(pointer<S>(call.grad_weight), parts, partial);
        else add_parts_to(pointer<A>(call.grad_weight), parts, partial);
    }
    template <class W> void add_parts_to(W *to, int64_t parts, const A *partial) const {
#pragma omp for schedule(static)
        for (int64_t e = 0; e < call.edges; e++)
            for (int64_t group = 0; group < groups; group++) {
                const A *from = partial + group * parts * call.edges * taps + e * taps;
                W *filter = to + (csc.perm[e] * groups + group) * taps;
                for (int64_t run = 0, i = 0; run < call.kernel_height; run += filter_rows)
                    for (int64_t column = 0; column < call.kernel_width; column++)
                        for (int64_t k = 0; k < filter_rows; k++, i++) {
                            A sum = from[i];
                            for (int64_t part = 1; part < parts; part++) sum += from[part * call.edges * taps + i];
                            store_one(filter + (run + k) * call.kernel_width + column, sum);
                        }
            }
    }
};

template <class S> int run(const synaptic_call &call, bool backward) {
    Synaptic<S> problem(call);
    return backward ? problem.backward() : problem.forward();
}

int run_dtype(const synaptic_call &call, bool backward) {
    switch (call.dtype) {
        case ELEGANS_F64: return run<double>(call, backward);
        case ELEGANS_BF16: return run<bf16>(call, backward);
        case ELEGANS_F16: return run<f16>(call, backward);
        default: return run<float>(call, backward);
    }
}

}  // namespace

namespace ELEGANS_NAMESPACE {

int synaptic_forward(const synaptic_call &call) { return run_dtype(call, false); }
int synaptic_backward(const synaptic_call &call) { return run_dtype(call, true); }

}  // namespace ELEGANS_NAMESPACE
