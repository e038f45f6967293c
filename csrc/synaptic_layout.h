// How the maps of a call are cut into blocks of images, and how a block is packed with zeros around each map.
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
// between neurons. A tap is then a constant shift of the pointer, and lanes between images hold nothing that anybody reads.
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

// Fewer elements than a vector has.
template <class From, class To> INLINE void copy_part(const From *from, To *to, int64_t count) {
    for (int64_t k = 0; k < count; k++) store_one(to + k, load_one(from + k));
}
#if defined(__AVX512F__)
INLINE __m256i load_halves(const void *p, int64_t count) {
    return _mm256_maskz_loadu_epi16(static_cast<__mmask16>((1u << count) - 1), p);
}
INLINE void copy_part(const float *from, float *to, int64_t count) { store_part(to, load_part(from, count), count); }
template <class From> INLINE void copy_part(const From *from, float *to, int64_t count) {
    From lanes[16];
    const __m256i bits = load_halves(from, count);
    memcpy(lanes, &bits, sizeof(lanes));
    store_part(to, load(lanes), count);
}
template <class To> INLINE void copy_part(const float *from, To *to, int64_t count) {
    To lanes[16];
    store(lanes, load_part(from, count));
    _mm256_mask_storeu_epi16(to, static_cast<__mmask16>((1u << count) - 1), load_halves(lanes, 16));
}
#endif

// A whole vector.
template <class A> INLINE void copy_vector(const A *from, A *to) { store_register(to, load_register(from)); }
template <class From, class To> INLINE void copy_vector(const From *from, To *to) {
#if defined(__AVX512F__)
    store(to, load(from));
#else
    for (int64_t k = 0; k < Register<float>::count; k++) store_one(to + k, load_one(from + k));
#endif
}

// rows of count elements, converted between storage and accumulator.
template <class From, class To>
INLINE void copy_rows(const From *from, int64_t from_stride, To *to, int64_t to_stride, int64_t rows, int64_t count) {
    constexpr int64_t L = Register<typename Accumulator<To>::type>::count;
    if (count < L) {
        for (int64_t r = 0; r < rows; r++) copy_part(from + r * from_stride, to + r * to_stride, count);
        return;
    }
    // The last vector of a row overlaps the one before it.
    for (int64_t r = 0; r < rows; r++, from += from_stride, to += to_stride) {
        for (int64_t k = 0; k + L < count; k += L) copy_vector(from + k, to + k);
        copy_vector(from + count - L, to + count - L);
    }
}

// buffer = the block's maps of the neurons first .. last - 1. What lies between maps is zero already and stays so.
template <class S, class A>
void pack_maps(const MapLayout<A> &layout, const Maps<const S> &maps, const ImageBlock &block, int64_t first, int64_t last, A *buffer) {
    for (int64_t n = first; n < last; n++)
        for (int64_t s = 0; s < layout.images; s++) {
            A *to = buffer + layout.front() + n * layout.map + s * layout.pitch;
            if (s >= block.count) {
                for (int64_t r = 0; r < layout.height; r++)
                    memset(to + r * layout.stride, 0, static_cast<size_t>(layout.width) * sizeof(A));
                continue;
            }
            const S *from = maps.image(block.group, block.first + s) + n * maps.neuron;
            copy_rows(from, layout.width, to, layout.stride, layout.height, layout.width);
        }
}

// Brings the maps that one neuron has in a block closer, while others are computed.
template <bool Write, class S>
INLINE void fetch_maps(const Maps<S> &maps, const ImageBlock &block, int64_t neuron, int64_t bytes) {
    for (int64_t s = 0; s < block.count; s++) {
        const char *from = reinterpret_cast<const char *>(maps.image(block.group, block.first + s) + neuron * maps.neuron);
        for (int64_t at = 0; at < bytes; at += 64) __builtin_prefetch(from + at, Write, Write ? 3 : 2);
    }
}

// A tile of results, `rows` x `vectors`, into the maps of one neuron.
struct Tile {
    int64_t row, rows, vector, vectors;
};

template <class S, class A>
void unpack_tile(const MapLayout<A> &layout, const Maps<S> &maps, const ImageBlock &block, int64_t neuron, const Tile &tile, const A *out) {
    constexpr int64_t L = Register<A>::count;
    const int64_t begin = tile.vector * L, end = begin + tile.vectors * L;
    for (int64_t s = begin / layout.pitch; s < block.count && s * layout.pitch < end; s++) {
        const int64_t left = s * layout.pitch;
        const int64_t a = larger(begin, left), b = smaller(end, left + layout.width);
        if (a >= b) continue;
        S *to = maps.image(block.group, block.first + s) + neuron * maps.neuron + tile.row * layout.width + a - left;
        copy_rows(out + a - begin, tile.vectors * L, to, layout.width, tile.rows, b - a);
    }
}

}  // namespace

#endif
