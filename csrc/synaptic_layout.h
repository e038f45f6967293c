// How the maps of a call are cut into blocks of images, and where a packed block has its maps.
#ifndef ELEGANS_SYNAPTIC_LAYOUT_H
#define ELEGANS_SYNAPTIC_LAYOUT_H

#include "problem.h"
#include "synaptic.h"

namespace {

// Vectors as wide as the registers: the compiler takes wider ones apart through memory. Enough accumulators, with the
// weights of a filter's column and a row of states, to fill the registers.
#if defined(__AVX512F__)
constexpr int kVectorBytes = 64, kTileVectors = 16;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32, kTileVectors = 10;
#else
constexpr int kVectorBytes = 16, kTileVectors = 10;
#endif

template <class A> struct Register {
    static constexpr int count = kVectorBytes / static_cast<int>(sizeof(A));
    typedef A vec __attribute__((vector_size(kVectorBytes)));
    typedef A loose __attribute__((vector_size(kVectorBytes), aligned(sizeof(A)), may_alias));
};
template <class A> INLINE typename Register<A>::vec load_register(const A *p) {
    return *reinterpret_cast<const typename Register<A>::loose *>(p);
}
template <class A> INLINE void store_register(A *p, typename Register<A>::vec v) {
    *reinterpret_cast<typename Register<A>::loose *>(p) = v;
}

// A packed block should leave room for another one in the second-level cache.
constexpr int64_t kBlockBytes = 640 << 10;

// So many vectors a neuron are enough: more of them no longer make the fixed costs of an edge smaller.
constexpr int64_t kMapVectors = 32;

// A sheet: images side by side in rows of `stride` elements, `pad_columns` zeros between them and `pad_rows` zero rows
// between neurons. A tap is then a constant shift of the pointer, and the lanes between images are never read.
template <class A> struct MapLayout {
    static constexpr int64_t L = Register<A>::count;
    int64_t height, width, pad_rows, pad_columns, neurons;
    int64_t images;   // in a full sheet
    int64_t pitch;    // from one image to the next
    int64_t vectors;  // that cover a row of a full sheet
    int64_t stride, map;

    MapLayout(const synaptic_call &c, int64_t available)
        : height(c.height), width(c.width), pad_rows(c.kernel_height / 2), pad_columns(c.kernel_width / 2),
          neurons(c.neurons), pitch(width + pad_columns) {
        images = 1;
        for (int64_t more = 2; more <= available; more++) {
            if (bytes_of(more) > kBlockBytes) break;
            // At equal use more images only as long as a tile covers whole rows: otherwise it would read neighbours' lines.
            const bool whole = vectors_of(more) * height <= kTileVectors;
            if (use(more) > use(images) || (whole && use(more) == use(images))) images = more;
        }
        vectors = vectors_of(images);
        stride = stride_of(images);
        map = (height + pad_rows) * stride;
    }

    // Sheets of a block whose weight gradient is summed in registers: they share what an edge costs.
    int64_t sheets(int64_t available) const {
        const int64_t most = smaller(kMapVectors / (vectors * height), kBlockBytes / larger<int64_t>(1, bytes_of(images)));
        return larger<int64_t>(1, smaller(most, ceil_div(available, images)));
    }

    // The vectors that cover the rows of a sheet with fewer images.
    int64_t vectors_of(int64_t count) const { return ceil_div(count * pitch - pad_columns, L); }
    int64_t front() const { return ceil_div(pad_rows * stride + pad_columns, L) * L; }
    int64_t size() const { return front() + neurons * map + vectors * L + 2 * pad_columns; }

private:
    int64_t stride_of(int64_t count) const { return larger(count * pitch, vectors_of(count) * L); }
    int64_t bytes_of(int64_t count) const {
        return neurons * (height + pad_rows) * stride_of(count) * static_cast<int64_t>(sizeof(A));
    }
    // Useful lanes of a thousand.
    int64_t use(int64_t count) const { return 1000 * count * width / (vectors_of(count) * L); }
};

// The maps that share weights: all of a batch and its channels, or those of one channel.
template <class S> struct Maps {
    S *data;
    int64_t batch, neuron, channel, channels;  // strides, and the channels that a group goes through

    S *image(int64_t group, int64_t index) const {
        return data + group * channel + (index / channels) * batch + (index % channels) * channel;
    }
};

struct ImageBlock {
    int64_t group, first, count;

    // Its images number index * size and following.
    ImageBlock sheet(int64_t index, int64_t size) const {
        return {group, first + index * size, smaller(size, count - index * size)};
    }
};

struct ImageBlocks {
    int64_t groups, images, per_block, count;  // count: blocks of a group

    ImageBlocks(int64_t groups, int64_t images, int64_t per_block)
        : groups(groups), images(images), per_block(per_block), count(ceil_div(images, per_block)) {}
    ImageBlock block(int64_t group, int64_t index) const {
        return {group, index * per_block, smaller(per_block, images - index * per_block)};
    }
};

}  // namespace

#endif
