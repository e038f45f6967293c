// How states are cut into strips of at most four vectors, and how a strip is packed into a contiguous buffer.
#ifndef ELEGANS_LAYOUT_H
#define ELEGANS_LAYOUT_H

#include "vec.h"

namespace {

constexpr int kStripVectors = 4;

// Packing a strip of several samples is a transposition: this many neurons at a time stay in the nearest cache.
constexpr int64_t kBlock = 16;

// A tensor [B, N, C, K] with unit stride on its last axis.
template <class S> struct View {
    S *data;
    int64_t batch, neuron, channel;
};

// The part of a neuron's row in one vector: `lanes` neighbouring features of each of `samples` consecutive samples.
struct Piece {
    int64_t sample, samples, channel, inner, lanes;
};

// A few vectors that are aggregated together. Full: every vector is one run of features, read and written in place.
struct Strip {
    int vectors;
    bool full;
    Piece pieces[kStripVectors];

    // Whether every lane holds something.
    bool covered(int64_t lanes) const {
        bool all = true;
        for (int i = 0; i < vectors; i++) all = all && pieces[i].samples * pieces[i].lanes == lanes;
        return all;
    }
};

// The cut. With one weight per edge (and channel), a group is a channel and its vectors run over samples and features;
// with lane weights (one weight per edge and feature), a group is a few vectors of features and its strips are the samples.
struct Cut {
    int64_t batch, channels, inner, lanes;
    bool lane_weights;
    int64_t groups, strips, sample_vectors, packed_samples;

    Cut(int64_t batch, int64_t channels, int64_t inner, int64_t lanes, bool lane_weights)
        : batch(batch), channels(channels), inner(inner), lanes(lanes), lane_weights(lane_weights) {
        sample_vectors = ceil_div(inner, lanes);
        packed_samples = (lane_weights || inner >= lanes) ? 1 : lanes / inner;
        groups = lane_weights ? ceil_div(sample_vectors, kStripVectors) : channels;
        strips = lane_weights ? batch : ceil_div(group_vectors(), kStripVectors);
    }

    int64_t group_vectors() const {
        return packed_samples > 1 ? ceil_div(batch, packed_samples) : batch * sample_vectors;
    }

    // Strips have 1, 2 or 4 vectors; a fourth one may be empty.
    static int rounded(int64_t vectors) { return vectors > 2 ? kStripVectors : static_cast<int>(vectors); }

    // Vectors of the widest strip of any group.
    int64_t width() const { return rounded(lane_weights ? sample_vectors : group_vectors()); }

    Strip strip(int64_t group, int64_t index) const {
        Strip s;
        int64_t first = (lane_weights ? group : index) * kStripVectors;
        int64_t end = lane_weights ? sample_vectors : group_vectors();
        s.vectors = rounded(end - first);
        s.full = true;
        for (int i = 0; i < s.vectors; i++) {
            if (first + i >= end) s.pieces[i] = Piece{0, 0, 0, 0, 0};
            else s.pieces[i] = lane_weights ? features(index, 0, first + i) : vector(group, first + i);
            s.full = s.full && s.pieces[i].lanes == lanes && s.pieces[i].samples == 1;
        }
        return s;
    }

    // The lanes of a group's weights: the features of its strips.
    Piece features(int64_t sample, int64_t channel, int64_t index) const {
        int64_t start = index * lanes;
        return Piece{sample, 1, channel, start, smaller(lanes, inner - start)};
    }

private:
    Piece vector(int64_t channel, int64_t index) const {
        if (packed_samples == 1) return features(index / sample_vectors, channel, index % sample_vectors);
        int64_t sample = index * packed_samples;
        return Piece{sample, smaller(packed_samples, batch - sample), channel, 0, inner};
    }
};

template <class S> INLINE S *address(const View<S> &view, const Piece &piece) {
    return view.data + piece.sample * view.batch + piece.channel * view.channel + piece.inner;
}

// buffer[n, :] = the strip of neuron n, times scale[n] where given.
template <class S, class A>
void pack(const View<const S> &view, const Strip &strip, int64_t neurons, const A *scale, A *buffer) {
    constexpr int L = Lanes<A>::count;
    const int64_t width = strip.vectors * L;
    if (!strip.full && !strip.covered(L)) memset(buffer, 0, static_cast<size_t>(neurons * width) * sizeof(A));
    for (int i = 0; strip.full && i < strip.vectors; i++) {
        const S *from = address(view, strip.pieces[i]);
        for (int64_t n = 0; n < neurons; n++) {
            auto v = load(from + n * view.neuron);
            store(buffer + n * width + i * L, scale ? v * scale[n] : v);
        }
    }
    for (int64_t first = 0; !strip.full && first < neurons; first += kBlock)
        for (int i = 0; i < strip.vectors; i++) {
            const Piece &piece = strip.pieces[i];
            const int64_t last = smaller(first + kBlock, neurons);
            for (int64_t s = 0; s < piece.samples; s++) {
                const S *from = address(view, piece) + s * view.batch;
                A *to = buffer + i * L + s * piece.lanes;
                for (int64_t n = first; n < last; n++) {
                    const A factor = scale ? scale[n] : A(1);
                    for (int64_t k = 0; k < piece.lanes; k++)
                        to[n * width + k] = load_one(from + n * view.neuron + k) * factor;
                }
            }
        }
}

// The reverse of pack; T is a storage type, or int32 for winners held in integer lanes of the accumulator's size.
template <class T, class A> INLINE void assign(T *to, A value) { store_one(to, value); }
template <class M> INLINE void assign(int32_t *to, M value) { *to = static_cast<int32_t>(value); }

template <class T, class A> void unpack(const View<T> &view, const Strip &strip, int64_t neurons, int lanes, const A *buffer) {
    const int64_t width = strip.vectors * lanes;
    for (int64_t first = 0; first < neurons; first += kBlock)
        for (int i = 0; i < strip.vectors; i++) {
            const Piece &piece = strip.pieces[i];
            const int64_t last = smaller(first + kBlock, neurons);
            for (int64_t s = 0; s < piece.samples; s++) {
                T *to = address(view, piece) + s * view.batch;
                const A *from = buffer + i * lanes + s * piece.lanes;
                for (int64_t n = first; n < last; n++)
                    for (int64_t k = 0; k < piece.lanes; k++) assign(to + n * view.neuron + k, from[n * width + k]);
            }
        }
}

}  // namespace

#endif
