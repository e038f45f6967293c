// The two inner loops of the synaptic convolution: a tile of one neuron's map, and the weight gradient of one edge.
#ifndef ELEGANS_SYNAPTIC_TILES_H
#define ELEGANS_SYNAPTIC_TILES_H

#include "synaptic_maps.h"

#define UNROLL_ALL _Pragma("GCC unroll 32")

namespace {

// What the tiles of a call share. A step is a shift of the source pointer and a run of weights that lie below each other.
template <class A> struct Taps {
    const int32_t *partners;
    const A *weights;  // [edges, steps, rows of the filter]
    const int64_t *shift;
    int64_t steps, stride, map;
};

template <class A> using TileKernel = void (*)(const Taps<A> &taps, const A *from, int64_t first, int64_t last, A *out);

// out[r * stride + j] = the sum over the edges first .. last - 1. Each row of a source is loaded once per step and added to all the
// rows of the result that it reaches, which stay in registers. Whole: the tile is as high as the map, so that the rows
// above and below it are known to be zero.
template <int R, int V, int KH, bool Whole, class A>
void convolve_tile(const Taps<A> &taps, const A *from, int64_t first, int64_t last, A *out) {
    using Vec = typename Register<A>::vec;
    constexpr int L = Register<A>::count;
    Vec acc[R][V];
    UNROLL_ALL for (int r = 0; r < R; r++) UNROLL for (int j = 0; j < V; j++) acc[r][j] = Vec{};
    const int64_t stride = taps.stride;
    const A *weights = taps.weights + first * taps.steps * KH;
    for (int64_t e = first; e < last; e++) {
        const A *map = from + taps.partners[e] * taps.map;
        for (int64_t s = 0; s < taps.steps; s++, weights += KH) {
            const A *row = map + taps.shift[s] + (Whole ? KH / 2 * stride : 0);
            Vec w[KH];
            UNROLL_ALL for (int k = 0; k < KH; k++) w[k] = Vec{} + weights[k];
            UNROLL_ALL for (int i = Whole ? KH / 2 : 0; i < (Whole ? R + KH / 2 : R + KH - 1); i++) {
                Vec x[V];
                UNROLL for (int j = 0; j < V; j++) x[j] = load_register(row + j * L);
                row += stride;
                UNROLL_ALL for (int k = 0; k < KH; k++) {
                    const int r = i - k;
                    if (r >= 0 && r < R) UNROLL for (int j = 0; j < V; j++) acc[r][j] += w[k] * x[j];
                }
            }
        }
    }
    UNROLL_ALL for (int r = 0; r < R; r++)
        UNROLL for (int j = 0; j < V; j++) store_register(out + r * stride + j * L, acc[r][j]);
}

template <int R, int V, int KH, bool Whole, class A> TileKernel<A> find_tile(int64_t rows) {
    if constexpr (R == 0) return nullptr;
    else return rows == R ? &convolve_tile<R, V, KH, Whole, A> : find_tile<R - 1, V, KH, Whole, A>(rows);
}

template <int V, class A> TileKernel<A> find_tile(int64_t rows, int64_t filter_rows, bool whole) {
    constexpr int R = kTileVectors / V;
    switch (filter_rows) {
        case 3: return whole ? find_tile<R, V, 3, true, A>(rows) : find_tile<R, V, 3, false, A>(rows);
        case 5: return whole ? find_tile<R, V, 5, true, A>(rows) : find_tile<R, V, 5, false, A>(rows);
        default: return find_tile<R, V, 1, false, A>(rows);
    }
}

// A part of a map, `rows` x `vectors`, and the code that sums it.
template <class A> struct Tile {
    int64_t row, vector;
    TileKernel<A> kernel;
};

// How maps are cut into tiles: whole maps of several vectors where they fit, else columns of one vector.
template <class A> struct Tiling {
    int64_t height, rows, vectors, filter_rows;

    Tiling(const MapLayout<A> &layout, int64_t filter_rows) : height(layout.height), filter_rows(filter_rows) {
        vectors = 1;
        while (vectors < 4 && vectors < layout.vectors && 2 * vectors * height <= kTileVectors) vectors *= 2;
        const int64_t most = kTileVectors / vectors;
        rows = ceil_div(height, ceil_div(height, most));
    }

    // At most so many tiles cover a map of `columns` vectors.
    int64_t most(int64_t columns) const { return columns * ceil_div(height, rows); }

    // Writes the tiles of a map of `columns` vectors; returns their number.
    int64_t cut(int64_t columns, Tile<A> *tiles) const {
        int64_t count = 0;
        for (int64_t vector = 0; vector < columns;) {
            const int64_t wide = vector + vectors <= columns ? vectors : 1;
            for (int64_t row = 0; row < height; row += rows)
                tiles[count++] = {row, vector, kernel(smaller(rows, height - row), wide)};
            vector += wide;
        }
        return count;
    }

private:
    TileKernel<A> kernel(int64_t high, int64_t wide) const {
        switch (wide) {
            case 1: return find_tile<1, A>(high, filter_rows, high == height);
            case 2: return find_tile<2, A>(high, filter_rows, high == height);
            default: return find_tile<4, A>(high, filter_rows, high == height);
        }
    }
};

// sums[k] += the sum of the lanes of acc[k], in one fixed order.
template <int N, class A> INLINE void add_lanes(const typename Register<A>::vec *acc, A *sums) {
    for (int k = 0; k < N; k++) {
        A lanes[Register<A>::count];
        store_register(lanes, acc[k]);
        UNROLL_ALL for (int half = Register<A>::count / 2; half > 0; half /= 2)
            UNROLL_ALL for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
        sums[k] += lanes[0];
    }
}
#if defined(__AVX512F__)
// A tree of 15 shuffled additions serves up to 15 vectors at once.
template <int N, class A> INLINE void add_lanes(const Register<float>::vec *acc, float *sums) {
    static_assert(N < 16, "one vector of sums");
    Floats v[16];
    UNROLL_ALL for (int k = 0; k < 16; k++) v[k] = k < N ? acc[k] : Floats{};
    UNROLL_ALL for (int k = 0; k < 8; k++)
        v[k] = __builtin_shufflevector(v[2 * k], v[2 * k + 1], 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +
               __builtin_shufflevector(v[2 * k], v[2 * k + 1], 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
    UNROLL_ALL for (int k = 0; k < 4; k++)
        v[k] = __builtin_shufflevector(v[2 * k], v[2 * k + 1], 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27) +
               __builtin_shufflevector(v[2 * k], v[2 * k + 1], 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
    UNROLL_ALL for (int k = 0; k < 2; k++)
        v[k] = __builtin_shufflevector(v[2 * k], v[2 * k + 1], 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29) +
               __builtin_shufflevector(v[2 * k], v[2 * k + 1], 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
    const Floats mixed = __builtin_shufflevector(v[0], v[1], 0, 2, 16, 18, 4, 6, 20, 22, 8, 10, 24, 26, 12, 14, 28, 30) +
                         __builtin_shufflevector(v[0], v[1], 1, 3, 17, 19, 5, 7, 21, 23, 9, 11, 25, 27, 13, 15, 29, 31);
    const Floats sum = __builtin_shufflevector(mixed, mixed, 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    store_part(sums, load_part(sums, N) + sum, N);
}
#endif

// Loaded once and kept: the compiler would load a shifted vector, which straddles cache lines, for each of its uses.
template <class Vec> INLINE void keep(Vec &v) {
#if defined(__AVX512F__)
    asm("" : "+v"(v));
#elif defined(__SSE2__)
    asm("" : "+x"(v));
#else
    (void)v;
#endif
}

// The maps of one neuron in a block: sheets that are `sheet` elements apart.
struct Extent {
    int64_t rows, vectors, stride, sheets, sheet;
};

// The gradient of one edge's weights in one block:
//   sums[dx, dy] += sum over p of grad[p - (dx, 0)] * x[p + (0, dy)]
// for D neighbouring columns of the filter. `next` leads to the gradient of the next edge, which is fetched meanwhile. x is
// read without a horizontal shift, so its lanes between images are zero.
template <int KH, int D, class A>
void correlate(const A *x, const A *grad, int64_t next, const Extent &extent, A *sums) {
    using Vec = typename Register<A>::vec;
    constexpr int L = Register<A>::count;
    Vec acc[D * KH];
    UNROLL_ALL for (int k = 0; k < D * KH; k++) acc[k] = Vec{};
    const int64_t stride = extent.stride;
    for (int64_t sheet = 0, vector = 0; sheet < extent.sheets;) {
        const A *from_x = x + vector * L, *from_grad = grad + vector * L;
        for (int64_t r = 0; r < extent.rows; r++, from_x += stride, from_grad += stride) {
            Vec g[D];
            UNROLL_ALL for (int d = D - 1; d >= 0; d--) g[d] = load_register(from_grad - d), keep(g[d]);
            __builtin_prefetch(from_grad + next);
            UNROLL_ALL for (int k = 0; k < KH; k++) {
                Vec state = load_register(from_x + k * stride);
                keep(state);
                UNROLL_ALL for (int d = 0; d < D; d++) acc[d * KH + k] += g[d] * state;
            }
        }
        if (++vector == extent.vectors) vector = 0, sheet++, x += extent.sheet, grad += extent.sheet;
    }
    add_lanes<D * KH, A>(acc, sums);
}

// So many columns of a filter of `KH` rows go together that their accumulators fit the registers.
template <int KH> constexpr int columns_together() {
    return KH == 5 ? 2 : 3;
}

// All columns of a run of filter rows.
template <int KH, class A>
INLINE void correlate_run(const A *x, const A *grad, int64_t next, int64_t columns, const Extent &extent, A *sums) {
    constexpr int D = columns_together<KH>();
    int64_t d = 0;
    for (; d + D <= columns; d += D) correlate<KH, D>(x, grad - d, next, extent, sums + d * KH);
    if (D > 2 && d + 2 <= columns) correlate<KH, 2>(x, grad - d, next, extent, sums + d * KH), d += 2;
    if (D > 1 && d < columns) correlate<KH, 1>(x, grad - d, next, extent, sums + d * KH);
}

}  // namespace

#endif
