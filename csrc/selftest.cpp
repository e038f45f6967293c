// Runs every kernel on odd shapes against plain loops, without Python: for AddressSanitizer and UndefinedBehaviorSanitizer.
// Every array has exactly its size on the heap, so one byte read or written beyond it is reported.

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include "elegans_gnn.h"

namespace {

std::mt19937 generator(0);

template <class T> int64_t address(const std::vector<T> &v) {
    return static_cast<int64_t>(reinterpret_cast<uintptr_t>(v.data()));
}

struct Graph {
    int64_t neurons;
    std::vector<int32_t> source, target, rowptr, col, perm, colptr, row, csc_perm;

    Graph(int64_t neurons, int64_t edges) : neurons(neurons) {
        for (int64_t e = 0; e < edges; e++) {
            source.push_back(static_cast<int32_t>(generator() % static_cast<uint32_t>(neurons)));
            target.push_back(static_cast<int32_t>(generator() % static_cast<uint32_t>(neurons)));
        }
        compress(target, source, rowptr, col, perm);
        compress(source, target, colptr, row, csc_perm);
    }

private:
    void compress(const std::vector<int32_t> &keys, const std::vector<int32_t> &others, std::vector<int32_t> &pointers,
                  std::vector<int32_t> &partners, std::vector<int32_t> &order) const {
        pointers.assign(1, 0);
        for (int32_t n = 0; n < neurons; n++) {
            for (size_t e = 0; e < keys.size(); e++)
                if (keys[e] == n) partners.push_back(others[e]), order.push_back(static_cast<int32_t>(e));
            pointers.push_back(static_cast<int32_t>(partners.size()));
        }
    }
};

// Storage of one dtype with conversion from and to double.
struct Store {
    int64_t dtype;
    std::vector<unsigned char> bytes;

    Store(int64_t dtype, int64_t count) : dtype(dtype), bytes(static_cast<size_t>(count * size(dtype)), 0xff) {}
    static int64_t size(int64_t dtype) { return dtype == ELEGANS_F64 ? 8 : dtype == ELEGANS_F32 ? 4 : 2; }

    void set(int64_t i, double value) {
        if (dtype == ELEGANS_F64) put(i, value);
        else if (dtype == ELEGANS_F32) put(i, static_cast<float>(value));
        else put(i, half(value));
    }
    double get(int64_t i) const {
        if (dtype == ELEGANS_F64) return take<double>(i);
        if (dtype == ELEGANS_F32) return take<float>(i);
        const uint16_t bits = take<uint16_t>(i);
        if (dtype == ELEGANS_BF16) {
            const uint32_t wide = static_cast<uint32_t>(bits) << 16;
            float value;
            memcpy(&value, &wide, 4);
            return value;
        }
        const int exponent = bits >> 10 & 31, fraction = bits & 1023;
        const double size = exponent ? std::ldexp(1024 + fraction, exponent - 25) : std::ldexp(fraction, -24);
        return bits >> 15 ? -size : size;
    }

private:
    template <class T> void put(int64_t i, T value) { memcpy(bytes.data() + i * int64_t(sizeof(T)), &value, sizeof(T)); }
    template <class T> T take(int64_t i) const {
        T value;
        memcpy(&value, bytes.data() + i * int64_t(sizeof(T)), sizeof(T));
        return value;
    }
    // The inputs are small multiples of 1/4: exact in both half formats.
    uint16_t half(double value) const {
        if (dtype == ELEGANS_BF16) {
            const float single = static_cast<float>(value);
            uint32_t bits;
            memcpy(&bits, &single, 4);
            return static_cast<uint16_t>(bits >> 16);
        }
        if (value == 0) return 0;
        int exponent;
        const double fraction = std::frexp(std::fabs(value), &exponent);
        const int mantissa = static_cast<int>(fraction * 2048) & 1023;
        return static_cast<uint16_t>((value < 0 ? 0x8000 : 0) | (exponent + 14) << 10 | mantissa);
    }
};

struct Case {
    int64_t batch, channels, inner;
    bool per_channel;
};

int failures = 0;

void close(const char *what, const elegans_call &c, double found, double expected, double scale) {
    const double rounding = c.dtype == ELEGANS_F64 ? 1e-12 : c.dtype == ELEGANS_F32 ? 1e-5 : 2e-2;
    if (std::fabs(found - expected) <= rounding * (std::fabs(expected) + scale)) return;
    if (failures++ < 10)
        std::printf("%s: %g, expected %g (reduce %d dtype %d schedule %d isa %d B %d C %d K %d E %d)\n", what, found, expected,
                    int(c.reduce), int(c.dtype), int(c.schedule), int(c.isa), int(c.batch), int(c.channels), int(c.inner),
                    int(c.edges));
}

void check(const Graph &graph, const Case &shape, elegans_call c) {
    const int64_t edges = static_cast<int64_t>(graph.col.size()), width = shape.per_channel ? shape.channels : 1;
    const int64_t features = shape.channels * shape.inner, size = shape.batch * graph.neurons * features;
    Store x(c.dtype, size), grad(c.dtype, size), weight(c.weight_dtype, edges * width);
    Store y(c.dtype, size), grad_x(c.dtype, size), grad_weight(c.weight_dtype, edges * width);
    std::vector<int32_t> winner(c.reduce == ELEGANS_MAX ? static_cast<size_t>(size) : 0);
    auto quarter = [] { return (static_cast<int>(generator() % 17) - 8) / 4.0; };
    for (int64_t i = 0; i < size; i++) x.set(i, quarter()), grad.set(i, quarter());
    for (int64_t i = 0; i < edges * width; i++) weight.set(i, quarter());

    c.batch = shape.batch, c.neurons = graph.neurons, c.channels = shape.channels, c.inner = shape.inner;
    c.edges = edges, c.weight_channels = width;
    c.x = address(x.bytes), c.weight = address(weight.bytes), c.winner = address(winner), c.y = address(y.bytes);
    c.x_batch = graph.neurons * features, c.x_neuron = features, c.x_channel = shape.inner;
    c.weight_edge = width, c.weight_channel = 1;
    c.rowptr = address(graph.rowptr), c.col = address(graph.col), c.perm = address(graph.perm);
    c.colptr = address(graph.colptr), c.row = address(graph.row), c.csc_perm = address(graph.csc_perm);
    if (elegans_forward(&c)) failures++;
    c.grad = address(grad.bytes), c.grad_batch = c.x_batch, c.grad_neuron = c.x_neuron, c.grad_channel = c.x_channel;
    c.grad_x = address(grad_x.bytes), c.grad_weight = address(grad_weight.bytes);
    if (elegans_backward(&c)) failures++;

    std::vector<double> dx(static_cast<size_t>(size)), dw(static_cast<size_t>(edges * width));
    std::vector<double> bound_x(dx.size()), bound_w(dw.size());
    for (int64_t b = 0; b < shape.batch; b++)
        for (int64_t v = 0; v < graph.neurons; v++)
            for (int64_t f = 0; f < features; f++) {
                const int32_t *first = graph.perm.data() + graph.rowptr[size_t(v)];
                const int64_t degree = graph.rowptr[size_t(v) + 1] - graph.rowptr[size_t(v)];
                auto at = [&](int64_t e) { return (b * graph.neurons + graph.source[size_t(e)]) * features + f; };
                auto place = [&](int64_t e) { return e * width + (shape.per_channel ? f / shape.inner : 0); };
                auto message = [&](int64_t e) { return weight.get(place(e)) * x.get(at(e)); };
                double value = c.reduce == ELEGANS_MUL ? 1 : 0, scale = 1;
                int64_t best = -1;
                for (int64_t i = 0; i < degree; i++) {
                    const double m = message(first[i]);
                    scale += std::fabs(m);
                    if (c.reduce == ELEGANS_MUL) value *= m;
                    else if (c.reduce != ELEGANS_MAX) value += m;
                    else if (best < 0 || m > value) value = m, best = first[i];
                }
                if (c.reduce == ELEGANS_MEAN && degree) value /= static_cast<double>(degree);
                const int64_t here = (b * graph.neurons + v) * features + f;
                close("y", c, y.get(here), value, scale);
                if (c.reduce == ELEGANS_MAX && winner[size_t(here)] != best) failures++;
                for (int64_t i = 0; i < degree; i++) {
                    double g = grad.get(here);
                    if (c.reduce == ELEGANS_MEAN) g /= static_cast<double>(degree);
                    if (c.reduce == ELEGANS_MAX && best != first[i]) g = 0;
                    for (int64_t j = 0; c.reduce == ELEGANS_MUL && j < degree; j++) g *= j == i ? 1 : message(first[j]);
                    dx[size_t(at(first[i]))] += g * weight.get(place(first[i]));
                    bound_x[size_t(at(first[i]))] += std::fabs(g * weight.get(place(first[i])));
                    dw[size_t(place(first[i]))] += g * x.get(at(first[i]));
                    bound_w[size_t(place(first[i]))] += std::fabs(g * x.get(at(first[i])));
                }
            }
    for (size_t i = 0; i < dx.size(); i++) close("grad_x", c, grad_x.get(int64_t(i)), dx[i], bound_x[i]);
    for (size_t i = 0; i < dw.size(); i++) close("grad_weight", c, grad_weight.get(int64_t(i)), dw[i], bound_w[i]);
}

}  // namespace

int main() {
    const Graph graphs[] = {{1, 0}, {1, 3}, {5, 7}, {13, 60}};
    const Case shapes[] = {{1, 1, 1, false},  {3, 1, 5, false},  {2, 1, 16, false}, {1, 1, 70, false}, {2, 1, 133, false},
                           {20, 1, 1, false}, {3, 7, 1, true},   {2, 20, 1, true},  {1, 70, 1, true},  {2, 3, 5, true},
                           {2, 2, 33, true},  {19, 2, 3, true}};
    int64_t cases = 0;
    for (const Graph &graph : graphs)
        for (const Case &shape : shapes)
            for (int64_t reduce = 0; reduce < 4; reduce++)
                for (int64_t dtype = 0; dtype < 4; dtype++)
                    for (int64_t float_weight = 0; float_weight < (dtype > 1 ? 2 : 1); float_weight++)
                        for (int64_t schedule = 1; schedule < 3; schedule++)
                            for (int64_t isa = 1; isa <= elegans_best_isa(); isa++, cases++) {
                                elegans_call call{};
                                call.reduce = reduce, call.dtype = dtype, call.schedule = schedule, call.isa = isa;
                                call.weight_dtype = float_weight ? int64_t(ELEGANS_F32) : dtype;
                                call.threads = 1 + cases % 3;
                                check(graph, shape, call);
                            }
    std::printf("%lld cases, %d failures\n", static_cast<long long>(cases), failures);
    return failures != 0;
}
