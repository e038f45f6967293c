// The call block in typed form, and the working memory and work cut that both schedules share.
#ifndef ELEGANS_PROBLEM_H
#define ELEGANS_PROBLEM_H

#include <stdlib.h>

#include "elegans_gnn.h"
#include "layout.h"

namespace {

// One compressed form of the graph: by target (partners are sources) or by source (partners are targets).
struct Csr {
    const int32_t *pointers, *partners, *perm;
    int64_t neurons;
};

struct Needs {
    bool x, weight;
};

template <class T> T *pointer(int64_t address) { return reinterpret_cast<T *>(static_cast<uintptr_t>(address)); }

// Lane weights: every feature has its own weight, and neighbours in memory: a vector of weights multiplies one of states.
inline bool has_lane_weights(const elegans_call &c) {
    bool neighbours = c.x_channel == 1 && (c.grad == 0 || c.grad_channel == 1);
    return c.weight_channels > 1 && c.inner == 1 && neighbours;
}

template <class S> struct Problem {
    using A = typename Accumulator<S>::type;
    static constexpr int L = Lanes<A>::count;

    const elegans_call &call;
    bool lane_weights;
    int64_t channels, inner;
    Csr csr, csc;
    View<const S> x, grad;
    View<S> y, grad_x;
    View<int32_t> winner;
    Needs needs;

    explicit Problem(const elegans_call &c) : call(c), lane_weights(has_lane_weights(c)) {
        channels = lane_weights ? 1 : c.channels;
        inner = lane_weights ? c.channels : c.inner;
        csr = {pointer<const int32_t>(c.rowptr), pointer<const int32_t>(c.col), pointer<const int32_t>(c.perm), c.neurons};
        csc = {pointer<const int32_t>(c.colptr), pointer<const int32_t>(c.row), pointer<const int32_t>(c.csc_perm), c.neurons};
        x = {pointer<const S>(c.x), c.x_batch, c.x_neuron, c.x_channel};
        grad = {pointer<const S>(c.grad), c.grad_batch, c.grad_neuron, c.grad_channel};
        y = contiguous<S>(c.y);
        grad_x = contiguous<S>(c.grad_x);
        winner = contiguous<int32_t>(c.winner);
        needs = {c.grad_x != 0, c.grad_weight != 0};
    }

    Cut cut() const { return Cut(call.batch, channels, inner, L, lane_weights); }

    // One row of weights per edge in the order of `graph`, for a channel or for the features of `strip`.
    void stage_weights(const Csr &graph, int64_t first, int64_t last, const Strip &strip, A *out) const {
        bool same = call.weight_dtype == call.dtype;
        if (same) stage(pointer<const S>(call.weight), graph, first, last, strip, out);
        else stage(pointer<const A>(call.weight), graph, first, last, strip, out);
    }

    // out[perm[e]] = the sums of a channel, or of the features of `strip`.
    void store_weight_gradient(const Csr &graph, int64_t first, int64_t last, const Strip &strip, const A *sums) const {
        bool same = call.weight_dtype == call.dtype;
        if (same) scatter(pointer<S>(call.grad_weight), graph, first, last, strip, sums);
        else scatter(pointer<A>(call.grad_weight), graph, first, last, strip, sums);
    }

    // Floats of weights per edge of a strip.
    int64_t weight_width(const Strip &strip) const { return lane_weights ? strip.vectors * L : 1; }

private:
    template <class T> View<T> contiguous(int64_t data) const {
        return {pointer<T>(data), call.neurons * channels * inner, channels * inner, inner};
    }

    template <class W>
    void stage(const W *weight, const Csr &graph, int64_t first, int64_t last, const Strip &strip, A *out) const {
        if (!lane_weights) {
            const W *from = weight + strip.pieces[0].channel * call.weight_channel;
            for (int64_t e = first; e < last; e++) out[e - first] = load_one(from + graph.perm[e] * call.weight_edge);
            return;
        }
        const int64_t width = strip.vectors * L;
        for (int64_t e = first; e < last; e++)
            for (int i = 0; i < strip.vectors; i++) {
                const Piece &piece = strip.pieces[i];
                const W *from = weight + graph.perm[e] * call.weight_edge + piece.inner * call.weight_channel;
                A *to = out + (e - first) * width + i * L;
                for (int64_t k = 0; k < L; k++) to[k] = k < piece.lanes ? load_one(from + k * call.weight_channel) : A(0);
            }
    }

    template <class W>
    void scatter(W *out, const Csr &graph, int64_t first, int64_t last, const Strip &strip, const A *sums) const {
        const int64_t stride = call.weight_channels;
        if (!lane_weights) {
            W *to = out + (stride > 1 ? strip.pieces[0].channel : 0);
            for (int64_t e = first; e < last; e++) store_one(to + graph.perm[e] * stride, sums[e - first]);
            return;
        }
        const int64_t width = strip.vectors * L;
        for (int64_t e = first; e < last; e++)
            for (int i = 0; i < strip.vectors; i++)
                for (int64_t k = 0; k < strip.pieces[i].lanes; k++)
                    store_one(out + graph.perm[e] * stride + strip.pieces[i].inner + k, sums[(e - first) * width + i * L + k]);
    }
};

// Calls body with a number of the storage type that the code stands for.
template <class Body> int with_storage(int64_t dtype, Body body) {
    switch (dtype) {
        case ELEGANS_F64: return body(double());
        case ELEGANS_BF16: return body(bf16());
        case ELEGANS_F16: return body(f16());
        default: return body(float());
    }
}

// Zero-size safe, 64-byte aligned working memory; every thread gets its own slice of one block.
class Scratch {
public:
    Scratch(int64_t threads, int64_t bytes) : slice_(ceil_div(bytes, 64) * 64) {
        block_ = static_cast<char *>(aligned_alloc(64, static_cast<size_t>(larger<int64_t>(64, slice_ * threads))));
    }
    ~Scratch() { free(block_); }
    Scratch(const Scratch &) = delete;
    Scratch &operator=(const Scratch &) = delete;

    explicit operator bool() const { return block_ != nullptr; }
    char *slice(int64_t thread) const { return block_ + thread * slice_; }

private:
    int64_t slice_;
    char *block_;
};

// Gives aligned arrays out of a thread's slice, one after the other.
class Arena {
public:
    explicit Arena(char *start) : next_(start) {}
    template <class T> T *take(int64_t count) {
        T *result = reinterpret_cast<T *>(next_);
        next_ += bytes<T>(count);
        return result;
    }
    template <class T> static int64_t bytes(int64_t count) {
        return ceil_div(count * static_cast<int64_t>(sizeof(T)), 64) * 64;
    }

private:
    char *next_;
};

// For fewer vector operations a second thread costs more than it saves.
constexpr int64_t kParallelWork = 20000;

inline int useful_threads(int64_t threads, int64_t jobs, int64_t vector_operations) {
    if (vector_operations < kParallelWork) return 1;
    return static_cast<int>(larger<int64_t>(1, smaller(threads, jobs)));
}

}  // namespace

#endif
