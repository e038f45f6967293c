// The synaptic convolution against plain loops, on numbers -1, 0 and 1: all sums are whole numbers, so they must be equal.
// The step against plain loops in double precision, up to the rounding of its sums and its storage.
#include <cmath>
#include <vector>

#include "elegans_gnn.h"
#include "selftest.h"
#include "synaptic.h"

namespace {

using Whole = std::vector<int>;

int64_t size_of(int64_t dtype) { return dtype == ELEGANS_F64 ? 8 : dtype == ELEGANS_F32 ? 4 : 2; }

Memory stored(int64_t dtype, const Whole &values) {
    Memory memory(static_cast<int64_t>(values.size()) * size_of(dtype));
    for (size_t i = 0; i < values.size(); i++) {
        const int64_t at = static_cast<int64_t>(i);
        const uint16_t sign = values[i] < 0 ? 0x8000 : 0;
        if (dtype == ELEGANS_F64) memory.put(at, static_cast<double>(values[i]));
        else if (dtype == ELEGANS_F32) memory.put(at, static_cast<float>(values[i]));
        else memory.put(at, static_cast<uint16_t>(values[i] ? sign | (dtype == ELEGANS_BF16 ? 0x3f80 : 0x3c00) : 0));
    }
    return memory;
}

double number(int64_t dtype, const Memory &memory, int64_t at) {
    if (dtype == ELEGANS_F64) return memory.take<double>(at);
    if (dtype == ELEGANS_F32) return memory.take<float>(at);
    const uint16_t bits = memory.take<uint16_t>(at);
    const int mantissa_bits = dtype == ELEGANS_BF16 ? 7 : 10, bias = dtype == ELEGANS_BF16 ? 127 : 15;
    const int exponent = (bits & 0x7fff) >> mantissa_bits, mantissa = bits & ((1 << mantissa_bits) - 1);
    if (exponent == 2 * bias + 1) return NAN;
    const double value = exponent ? std::ldexp(1.0 + std::ldexp(mantissa, -mantissa_bits), exponent - bias)
                                  : std::ldexp(mantissa, 1 - bias - mantissa_bits);
    return bits & 0x8000 ? -value : value;
}

void compare(const char *what, int64_t dtype, const Memory &found, const Whole &expected, int64_t isa) {
    for (size_t i = 0; i < expected.size(); i++) {
        const double value = number(dtype, found, static_cast<int64_t>(i));
        if (value != expected[i])
            return fail("synaptic %s, dtype %d, set %d: [%zu] is %g, not %d", what, static_cast<int>(dtype), static_cast<int>(isa), i,
                        value, expected[i]);
    }
}

struct Compressed {
    std::vector<int32_t> pointers{0}, partners, order;
    Compressed(int64_t neurons, const std::vector<int32_t> &keys, const std::vector<int32_t> &others) {
        for (int32_t n = 0; n < neurons; n++) {
            for (size_t e = 0; e < keys.size(); e++)
                if (keys[e] == n) partners.push_back(others[e]), order.push_back(static_cast<int32_t>(e));
            pointers.push_back(static_cast<int32_t>(partners.size()));
        }
    }
};

int64_t address(const std::vector<int32_t> &v) { return static_cast<int64_t>(reinterpret_cast<uintptr_t>(v.data())); }

Whole small_numbers(int64_t count) {
    Whole values(static_cast<size_t>(count));
    for (int &value : values) value = static_cast<int>(below(3)) - 1;
    return values;
}

struct Shape {
    int64_t batch, neurons, channels, height, width, edges, weight_channels, kernel_height, kernel_width;
    int64_t states() const { return batch * neurons * channels * height * width; }
    int64_t weights() const { return edges * weight_channels * kernel_height * kernel_width; }
};

// Calls body(place of y, place of x, place of the weight) for every product of the sum.
template <class Body>
void each_product(const Shape &s, const std::vector<int32_t> &source, const std::vector<int32_t> &target, Body body) {
    for (int64_t e = 0; e < s.edges; e++)
        for (int64_t b = 0; b < s.batch; b++)
            for (int64_t c = 0; c < s.channels; c++)
                for (int64_t r = 0; r < s.height; r++)
                    for (int64_t k = 0; k < s.width; k++)
                        for (int64_t i = 0; i < s.kernel_height; i++)
                            for (int64_t j = 0; j < s.kernel_width; j++) {
                                const int64_t row = r + i - s.kernel_height / 2, column = k + j - s.kernel_width / 2;
                                if (row < 0 || row >= s.height || column < 0 || column >= s.width) continue;
                                const size_t v = static_cast<size_t>(target[static_cast<size_t>(e)]);
                                const size_t u = static_cast<size_t>(source[static_cast<size_t>(e)]);
                                auto place = [&](size_t n, int64_t y, int64_t x) {
                                    const int64_t map = (b * s.neurons + static_cast<int64_t>(n)) * s.channels + c;
                                    return static_cast<size_t>((map * s.height + y) * s.width + x);
                                };
                                const int64_t filter = e * s.weight_channels + (s.weight_channels > 1 ? c : 0);
                                body(place(v, r, k), place(u, row, column),
                                     static_cast<size_t>((filter * s.kernel_height + i) * s.kernel_width + j));
                            }
}

void check(const Shape &s, int64_t dtype, int64_t weight_dtype) {
    std::vector<int32_t> source, target;
    for (int64_t e = 0; e < s.edges; e++) {
        source.push_back(static_cast<int32_t>(below(s.neurons)));
        target.push_back(static_cast<int32_t>(below(s.neurons)));
    }
    const Compressed csr(s.neurons, target, source), csc(s.neurons, source, target);
    const Whole x = small_numbers(s.states()), grad = small_numbers(s.states()), weight = small_numbers(s.weights());
    Whole y(x.size()), grad_x(x.size()), grad_weight(weight.size());
    each_product(s, source, target, [&](size_t to, size_t from, size_t tap) {
        y[to] += weight[tap] * x[from];
        grad_x[from] += weight[tap] * grad[to];
        grad_weight[tap] += grad[to] * x[from];
    });
    const Memory x_memory = stored(dtype, x), grad_memory = stored(dtype, grad), weight_memory = stored(weight_dtype, weight);
    for (int64_t isa = ELEGANS_BASELINE; isa <= elegans_best_isa(); isa++)
        for (int threads : kThreads) {
            cases++;
            const Memory out(s.states() * size_of(dtype)), out_x(s.states() * size_of(dtype));
            const Memory out_weight(s.weights() * size_of(weight_dtype));
            const int64_t map = s.height * s.width;
            const synaptic_call call{
                dtype, weight_dtype, isa, threads, s.batch, s.neurons, s.channels, s.height, s.width, s.edges,
                s.weight_channels, s.kernel_height, s.kernel_width, x_memory.address(), s.neurons * s.channels * map,
                s.channels * map, map, grad_memory.address(), s.neurons * s.channels * map, s.channels * map, map,
                weight_memory.address(), out.address(), out_x.address(), out_weight.address(), address(csr.pointers),
                address(csr.partners), address(csr.order), address(csc.pointers), address(csc.partners), address(csc.order), ELEGANS_NONE, 0, 0, 0, 0, 0, 0, 0};
            if (elegans_synaptic_forward(&call) || elegans_synaptic_backward(&call)) return fail("synaptic: not run");
            compare("y", dtype, out, y, isa);
            compare("grad_x", dtype, out_x, grad_x, isa);
            compare("grad_weight", weight_dtype, out_weight, grad_weight, isa);
        }
}

using Numbers = std::vector<double>;

Memory stored(int64_t dtype, const Numbers &values) {
    Memory memory(static_cast<int64_t>(values.size()) * size_of(dtype));
    for (size_t i = 0; i < values.size(); i++) {
        if (dtype == ELEGANS_F64) memory.put(static_cast<int64_t>(i), values[i]);
        else memory.put(static_cast<int64_t>(i), static_cast<float>(values[i]));
    }
    return memory;
}

void compare(const char *what, int64_t dtype, const Memory &found, const Numbers &expected, int64_t isa) {
    double largest = 1;
    for (double value : expected) largest = std::fmax(largest, std::fabs(value));
    const double rounding = dtype == ELEGANS_BF16 ? 0x1p-8 : dtype == ELEGANS_F16 ? 0x1p-11 : 0;
    const double sums = (dtype == ELEGANS_F64 ? 1e-11 : 2e-5) * largest;
    for (size_t i = 0; i < expected.size(); i++) {
        const double value = number(dtype, found, static_cast<int64_t>(i));
        if (!(std::fabs(value - expected[i]) <= sums + rounding * std::fabs(expected[i])))
            return fail("step %s, dtype %d, set %d: [%zu] is %.9g, not %.9g", what, static_cast<int>(dtype), static_cast<int>(isa), i,
                        value, expected[i]);
    }
}

// act(z) and act'(z)
struct Activated {
    double value, slope;
    Activated(int64_t activation, double z) {
        const double phi = 0.5 * std::erfc(-z * std::sqrt(0.5)), sigmoid = 1 / (1 + std::exp(-z));
        if (activation == ELEGANS_RELU) value = z > 0 ? z : 0, slope = z > 0;
        else if (activation == ELEGANS_GELU) value = z * phi, slope = phi + z * std::exp(-z * z / 2) / std::sqrt(8 * std::atan(1.0));
        else value = z * sigmoid, slope = sigmoid + value * (1 - sigmoid);
    }
};

// What a step makes of x, and what comes back through it from the gradient of h to x.
struct PlainStep {
    const Shape &shape;
    const double eps;
    const Numbers &scale, &shift;
    Numbers normal, inverse, h, slope, grad_scale, grad_shift;

    PlainStep(const Shape &s, double eps, int64_t activation, const Whole &x, const Numbers &scale, const Numbers &shift)
        : shape(s), eps(eps), scale(scale), shift(shift), normal(x.size()), inverse(x.size()), h(x.size()), slope(x.size()),
          grad_scale(scale.size()), grad_shift(scale.size()) {
        each_map([&](size_t first, size_t last, size_t channel) {
            double mean = 0, variance = 0;
            for (size_t i = first; i < last; i++) mean += x[i] / pixels();
            for (size_t i = first; i < last; i++) variance += (x[i] - mean) * (x[i] - mean) / pixels();
            for (size_t i = first; i < last; i++) {
                inverse[i] = 1 / std::sqrt(variance + eps), normal[i] = (x[i] - mean) * inverse[i];
                const Activated act(activation, scale[channel] * normal[i] + shift[channel]);
                h[i] = act.value, slope[i] = act.slope;
            }
        });
    }
    double pixels() const { return static_cast<double>(shape.height * shape.width); }
    template <class Body> void each_map(Body body) const {
        const int64_t map = shape.height * shape.width, maps = shape.neurons * shape.channels;
        for (int64_t m = 0; m < shape.batch * maps; m++)
            body(static_cast<size_t>(m * map), static_cast<size_t>((m + 1) * map), static_cast<size_t>(m % maps));
    }
    void back(Numbers &grad) {
        each_map([&](size_t first, size_t last, size_t channel) {
            double sum = 0, product = 0;
            for (size_t i = first; i < last; i++) grad[i] *= slope[i], sum += grad[i], product += grad[i] * normal[i];
            grad_shift[channel] += sum, grad_scale[channel] += product;
            for (size_t i = first; i < last; i++)
                grad[i] = scale[channel] * inverse[i] * (grad[i] - sum / pixels() - normal[i] * product / pixels());
        });
    }
};

Numbers fractions(int64_t count, double low) {
    Numbers values(static_cast<size_t>(count));
    for (double &value : values) value = low + 0.1875 * static_cast<double>(below(8));
    return values;
}

void check_step(const Shape &s, int64_t dtype, int64_t activation, bool with_leak) {
    std::vector<int32_t> source, target;
    for (int64_t e = 0; e < s.edges; e++) {
        source.push_back(static_cast<int32_t>(below(s.neurons)));
        target.push_back(static_cast<int32_t>(below(s.neurons)));
    }
    const Compressed csr(s.neurons, target, source), csc(s.neurons, source, target);
    const Whole x = small_numbers(s.states()), grad = small_numbers(s.states()), weight = small_numbers(s.weights());
    const int64_t features = s.neurons * s.channels, map = s.height * s.width;
    const Numbers scale = fractions(features, 0.5), shift = fractions(features, -0.7), leak = fractions(s.neurons, 0.2);
    const double eps = 0.1;
    PlainStep step(s, eps, activation, x, scale, shift);
    Numbers y(x.size()), grad_x(x.size()), grad_weight(weight.size()), grad_leak(leak.size());
    each_product(s, source, target, [&](size_t to, size_t from, size_t tap) {
        y[to] += weight[tap] * step.h[from];
        grad_x[from] += weight[tap] * grad[to];
        grad_weight[tap] += grad[to] * step.h[from];
    });
    step.back(grad_x);
    for (size_t i = 0; i < x.size(); i++) {
        const size_t neuron = i / static_cast<size_t>(s.channels * map) % leak.size();
        const double kept = with_leak ? leak[neuron] : 1;
        y[i] += kept * x[i], grad_x[i] += kept * grad[i], grad_leak[neuron] += grad[i] * x[i];
    }
    const int64_t wide = dtype == ELEGANS_F64 ? int64_t(ELEGANS_F64) : int64_t(ELEGANS_F32), bytes = size_of(wide);
    const Memory x_memory = stored(dtype, x), grad_memory = stored(dtype, grad), weight_memory = stored(wide, weight);
    const Memory scale_memory = stored(wide, scale), shift_memory = stored(wide, shift), leak_memory = stored(wide, leak);
    for (int64_t isa = ELEGANS_BASELINE; isa <= elegans_best_isa(); isa++)
        for (int threads : kThreads) {
            cases++;
            const Memory out(s.states() * size_of(dtype)), out_x(s.states() * size_of(dtype)), out_weight(s.weights() * bytes);
            const Memory out_scale(features * bytes), out_shift(features * bytes), out_leak(s.neurons * bytes);
            const synaptic_call call{
                dtype, wide, isa, threads, s.batch, s.neurons, s.channels, s.height, s.width, s.edges,
                s.weight_channels, s.kernel_height, s.kernel_width, x_memory.address(), features * map, s.channels * map, map,
                grad_memory.address(), features * map, s.channels * map, map, weight_memory.address(), out.address(),
                out_x.address(), out_weight.address(), address(csr.pointers), address(csr.partners), address(csr.order),
                address(csc.pointers), address(csc.partners), address(csc.order), activation, eps, scale_memory.address(),
                shift_memory.address(), with_leak ? leak_memory.address() : 0, out_scale.address(), out_shift.address(),
                out_leak.address()};
            if (elegans_synaptic_forward(&call) || elegans_synaptic_backward(&call)) return fail("step: not run");
            compare("y", dtype, out, y, isa);
            compare("grad_x", dtype, out_x, grad_x, isa);
            compare("grad_weight", wide, out_weight, grad_weight, isa);
            compare("grad_scale", wide, out_scale, step.grad_scale, isa);
            compare("grad_shift", wide, out_shift, step.grad_shift, isa);
            compare("grad_leak", wide, out_leak, grad_leak, isa);
        }
}

// Calls body(shape, dtype) for random shapes.
template <class Body> void each_shape(int rounds, bool brief, Body body) {
    const int64_t sides[] = {1, 2, 3, 5, 7, 8, 14, 15, 16, 17, 28, 33}, kernels[] = {1, 3, 5, 7};
    for (int round = 0; round < rounds; round++) {
        const int64_t channels = 1 + below(3), neurons = 1 + below(6);
        const Shape shape{1 + below(18), neurons, channels, sides[below(12)], sides[below(12)], below(2 * neurons + 1),
                          below(2) ? channels : 1, kernels[below(4)], kernels[below(4)]};
        if (shape.states() * shape.edges * shape.kernel_height * shape.kernel_width > 4'000'000 && brief) continue;
        body(shape, below(4));
    }
}

}  // namespace

void test_synaptic(bool brief) {
    each_shape(brief ? 40 : 400, brief, [](const Shape &shape, int64_t dtype) {
        check(shape, dtype, dtype == ELEGANS_F64 ? dtype : int64_t(ELEGANS_F32));
    });
}

void test_step(bool brief) {
    each_shape(brief ? 40 : 400, brief, [](const Shape &shape, int64_t dtype) {
        check_step(shape, dtype, ELEGANS_RELU + below(3), below(2));
    });
}
