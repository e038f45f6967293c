// Maps between memory and their packed form: rows of a sheet with zeros around each map.
#ifndef ELEGANS_SYNAPTIC_MAPS_H
#define ELEGANS_SYNAPTIC_MAPS_H

#include "synaptic_layout.h"

namespace {

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

// The block's maps of one neuron, side by side. What lies between maps is zero already and stays so.
template <class S, class A>
INLINE void pack_map(const MapLayout<A> &layout, const Maps<const S> &maps, const ImageBlock &block, int64_t neuron, A *to) {
    for (int64_t s = 0; s < layout.images; s++, to += layout.pitch) {
        if (s >= block.count) {
            for (int64_t r = 0; r < layout.height; r++)
                memset(to + r * layout.stride, 0, static_cast<size_t>(layout.width) * sizeof(A));
            continue;
        }
        const S *from = maps.image(block.group, block.first + s) + neuron * maps.neuron;
        copy_rows(from, layout.width, to, layout.stride, layout.height, layout.width);
    }
}

template <class S, class A>
INLINE void unpack_map(const MapLayout<A> &layout, const Maps<S> &maps, const ImageBlock &block, int64_t neuron, const A *from) {
    for (int64_t s = 0; s < block.count; s++, from += layout.pitch) {
        S *to = maps.image(block.group, block.first + s) + neuron * maps.neuron;
        copy_rows(from, layout.stride, to, layout.width, layout.height, layout.width);
    }
}

// The maps of the neurons first .. last - 1 in a packed block.
template <class S, class A>
void pack_maps(const MapLayout<A> &layout, const Maps<const S> &maps, const ImageBlock &block, int64_t first, int64_t last, A *buffer) {
    for (int64_t n = first; n < last; n++) pack_map(layout, maps, block, n, buffer + layout.front() + n * layout.map);
}

// Brings the maps that one neuron has in a block closer, while others are computed.
template <bool Write, class S>
INLINE void fetch_maps(const Maps<S> &maps, const ImageBlock &block, int64_t neuron, int64_t bytes) {
    for (int64_t s = 0; s < block.count; s++) {
        const char *from = reinterpret_cast<const char *>(maps.image(block.group, block.first + s) + neuron * maps.neuron);
        for (int64_t at = 0; at < bytes; at += 64) __builtin_prefetch(from + at, Write, Write ? 3 : 2);
    }
}

}  // namespace

#endif
