// What a step does to the maps of one neuron around the convolution: norm, scale, shift and activation, and their gradients.
#ifndef ELEGANS_SYNAPTIC_STEP_H
#define ELEGANS_SYNAPTIC_STEP_H

#include "activations.h"
#include "synaptic_maps.h"

namespace {

// Sum of the lanes, in one fixed order.
template <class A> INLINE A sum_register(typename Register<A>::vec v) {
    A lanes[Register<A>::count];
    store_register(lanes, v);
    for (int half = Register<A>::count / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
    return lanes[0];
}
#if defined(__AVX512F__)
template <> INLINE float sum_register<float>(Floats v) { return sum_lanes(v); }
template <> INLINE double sum_register<double>(Doubles v) { return sum_lanes(v); }
#endif

// Works in place on packed maps, all images of a sheet together. Every image has its own mean, variance and channel: what is
// one number per image lies spread over its lanes. One object per thread.
template <class A> class Step {
    using Vec = typename Register<A>::vec;
    static constexpr int64_t L = Register<A>::count;

public:
    static int64_t bytes(const MapLayout<A> &layout) {
        return 9 * Arena::bytes<A>(row(layout)) + Arena::bytes<A>(layout.height * layout.stride);
    }

    Step(const synaptic_call &call, const MapLayout<A> &layout, Arena &arena)
        : layout_(layout), activation_(call.activation), eps_(static_cast<A>(call.eps)),
          pixels_(static_cast<A>(call.height * call.width)), all_channels_(call.channels),
          channels_(call.channels / call.weight_channels), scale_(pointer<const A>(call.scale)),
          shift_(pointer<const A>(call.shift)), leak_(pointer<const A>(call.leak)) {
        A **const rows[] = {&sums_, &products_, &leaks_, &mean_, &inverse_, &gain_, &offset_, &mask_, &width_};
        for (A **lanes : rows) *lanes = zeros(arena, row(layout));
        normal_ = zeros(arena, layout.height * layout.stride);
        memset(width_, 0xff, static_cast<size_t>(layout.width) * sizeof(A));
    }

    // The maps that follow are those of this sheet.
    void begin(const ImageBlock &sheet) {
        sheet_ = sheet;
        memset(mask_, 0, static_cast<size_t>(row(layout_)) * sizeof(A));
        for (int64_t s = 0; s < sheet.count; s++)
            memset(mask_ + s * layout_.pitch, 0xff, static_cast<size_t>(layout_.width) * sizeof(A));
    }

    // map = act(scale * norm(map) + shift)
    void activate(int64_t neuron, A *map) {
        prepare(neuron, map);
        with_activation(activation_, [&](auto act) {
            each_column([&](int64_t j) {
                const Vec mean = load_register(mean_ + j), inverse = load_register(inverse_ + j);
                const Vec gain = load_register(gain_ + j), offset = load_register(offset_ + j), mask = load_register(mask_ + j);
                each_row(j, [&](int64_t at) {
                    const Vec normal = (load_register(map + at) - mean) * inverse;
                    store_register(map + at, masked(act.value(normal * gain + offset), mask));
                });
            });
        });
    }

    // y += leak * x
    void add_state(int64_t neuron, const A *x, A *y) const {
        const A leak = leak_ ? leak_[neuron] : A(1);
        each_column([&](int64_t j) {
            each_row(j, [&](int64_t at) { store_register(y + at, load_register(y + at) + leak * load_register(x + at)); });
        });
    }

    // From the map of states x and the gradients of y and h: x becomes h, grad_h becomes grad_x. To `sums`, per channel of the
    // group, the gradients of scale and of shift are added, then that of leak.
    void differentiate(int64_t neuron, const A *grad_y, A *x, A *grad_h, A *sums) {
        prepare(neuron, x);
        with_activation(activation_, [&](auto act) { through_activation(act, grad_y, x, grad_h); });
        const A *scale = scale_ + neuron * all_channels_;
        A leak_sum = 0;
        for (int64_t s = 0; s < sheet_.count; s++) {
            const A sum = total(sums_, s), product = total(products_, s);
            A *of_channel = sums + 2 * ((sheet_.first + s) % channels_);
            of_channel[0] += product, of_channel[1] += sum;
            leak_sum += total(leaks_, s);
            const A gain = inverse_[s * layout_.pitch] * scale[channel(s)];
            spread(gain_, s, gain), spread(offset_, s, sum / pixels_), spread(mean_, s, product / pixels_);
        }
        sums[2 * channels_] += leak_sum;
        const A leak = leak_ ? leak_[neuron] : A(1);
        each_column([&](int64_t j) {
            const Vec gain = load_register(gain_ + j), sum = load_register(offset_ + j), product = load_register(mean_ + j);
            each_row(j, [&](int64_t at) {
                const Vec inner = load_register(grad_h + at) - sum - load_register(normal_ + at) * product;
                store_register(grad_h + at, gain * inner + leak * load_register(grad_y + at));
            });
        });
    }

private:
    const MapLayout<A> &layout_;
    const int64_t activation_;
    const A eps_, pixels_;
    const int64_t all_channels_, channels_;  // of the states, and those that share weights
    const A *scale_, *shift_, *leak_;
    ImageBlock sheet_{};
    A *sums_, *products_, *leaks_, *mean_, *inverse_, *gain_, *offset_;  // a row of lanes each
    A *mask_, *width_;                                                   // all bits set where an image is; for one image
    A *normal_;                                                          // a packed map

    static int64_t row(const MapLayout<A> &layout) { return layout.stride + 2 * L; }
    static A *zeros(Arena &arena, int64_t count) {
        A *lanes = arena.take<A>(count);
        memset(lanes, 0, static_cast<size_t>(count) * sizeof(A));
        return lanes;
    }

    int64_t channel(int64_t image) const { return sheet_.group * channels_ + (sheet_.first + image) % channels_; }

    template <class Body> INLINE void each_column(Body body) const {
        for (int64_t j = 0; j < layout_.vectors * L; j += L) body(j);
    }
    template <class Body> INLINE void each_row(int64_t column, Body body) const {
        for (int64_t r = 0, at = column; r < layout_.height; r++, at += layout_.stride) body(at);
    }

    // One image's share of a row of lane sums.
    INLINE A total(const A *lanes, int64_t image) const {
        Vec sum{};
        for (int64_t k = 0; k < layout_.width; k += L)
            sum += masked(load_register(lanes + image * layout_.pitch + k), load_register(width_ + k));
        return sum_register<A>(sum);
    }
    // One number over all lanes of an image; in order, because it runs over the images after it.
    INLINE void spread(A *lanes, int64_t image, A value) const {
        for (int64_t k = 0; k < layout_.width; k += L) store_register(lanes + image * layout_.pitch + k, Vec{} + value);
    }

    // Mean and deviation of a neuron's maps, with scale and shift, over the lanes.
    void prepare(int64_t neuron, const A *map) {
        each_column([&](int64_t j) {
            Vec sum{};
            each_row(j, [&](int64_t at) { sum += load_register(map + at); });
            store_register(sums_ + j, sum);
        });
        for (int64_t s = 0; s < sheet_.count; s++) spread(mean_, s, total(sums_, s) / pixels_);
        each_column([&](int64_t j) {
            const Vec mean = load_register(mean_ + j);
            Vec sum{};
            each_row(j, [&](int64_t at) {
                const Vec difference = load_register(map + at) - mean;
                sum += difference * difference;
            });
            store_register(sums_ + j, sum);
        });
        for (int64_t s = 0; s < sheet_.count; s++) {
            const int64_t place = neuron * all_channels_ + channel(s);
            spread(inverse_, s, 1 / std_sqrt(total(sums_, s) / pixels_ + eps_));
            spread(gain_, s, scale_[place]), spread(offset_, s, shift_[place]);
        }
    }
    static float std_sqrt(float v) { return sqrtf(v); }
    static double std_sqrt(double v) { return sqrt(v); }

    template <class Act> INLINE void through_activation(Act act, const A *grad_y, A *x, A *grad_h) {
        each_column([&](int64_t j) {
            const Vec mean = load_register(mean_ + j), inverse = load_register(inverse_ + j);
            const Vec gain = load_register(gain_ + j), offset = load_register(offset_ + j), mask = load_register(mask_ + j);
            Vec sum{}, product{}, leak{};
            each_row(j, [&](int64_t at) {
                const Vec state = load_register(x + at), normal = (state - mean) * inverse;
                Vec h;
                const Vec grad = act.gradient(normal * gain + offset, load_register(grad_h + at), h);
                sum += grad, product += grad * normal, leak += state * load_register(grad_y + at);
                store_register(x + at, masked(h, mask));
                store_register(grad_h + at, grad);
                store_register(normal_ + at, normal);
            });
            store_register(sums_ + j, sum), store_register(products_ + j, product), store_register(leaks_ + j, leak);
        });
    }
};

}  // namespace

#endif
