// The aggregation's kernels against plain loops.
#include <cmath>
#include <vector>

#include "elegans_gnn.h"
#include "selftest.h"

namespace {

using Numbers = std::vector<double>;

int64_t address(const std::vector<int32_t> &v) { return static_cast<int64_t>(reinterpret_cast<uintptr_t>(v.data())); }

struct Graph {
    int64_t neurons;
    std::vector<int32_t> source, target, rowptr, col, perm, colptr, row, csc_perm;

    // The last `isolated` neurons have no edge.
    Graph(int64_t neurons, int64_t edges, int64_t isolated = 0) : neurons(neurons) {
        for (int64_t e = 0; e < edges; e++) {
            source.push_back(static_cast<int32_t>(below(neurons - isolated)));
            target.push_back(static_cast<int32_t>(below(neurons - isolated)));
        }
        compress(target, source, rowptr, col, perm);
        compress(source, target, colptr, row, csc_perm);
    }
    int64_t edges() const { return static_cast<int64_t>(source.size()); }

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

// Values of one dtype, with conversion from and to double.
struct Store {
    int64_t dtype;
    Memory memory;

    Store(int64_t dtype, int64_t count)
        : dtype(dtype), memory(count * (dtype == ELEGANS_F64 ? 8 : dtype == ELEGANS_F32 ? 4 : 2)) {}
    Store(int64_t dtype, const Numbers &values) : Store(dtype, static_cast<int64_t>(values.size())) {
        for (size_t i = 0; i < values.size(); i++) set(static_cast<int64_t>(i), values[i]);
    }

    void set(int64_t i, double value) {
        if (dtype == ELEGANS_F64) memory.put(i, value);
        else if (dtype == ELEGANS_F32) memory.put(i, static_cast<float>(value));
        else memory.put(i, half(value));
    }
    double get(int64_t i) const {
        if (dtype == ELEGANS_F64) return memory.take<double>(i);
        if (dtype == ELEGANS_F32) return memory.take<float>(i);
        const uint16_t bits = memory.take<uint16_t>(i);
        if (dtype == ELEGANS_BF16) {
            const uint32_t wide = static_cast<uint32_t>(bits) << 16;
            float value;
            memcpy(&value, &wide, 4);
            return value;
        }
        const int exponent = bits >> 10 & 31, fraction = bits & 1023;
        if (exponent == 31) return fraction ? NAN : bits >> 15 ? -INFINITY : INFINITY;
        const double size = exponent ? std::ldexp(1024 + fraction, exponent - 25) : std::ldexp(fraction, -24);
        return bits >> 15 ? -size : size;
    }

private:
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

struct Shape {
    int64_t batch, channels, inner;
    bool per_channel;
};

// Inputs that every dtype holds exactly, so that one expectation serves all of them.
struct Problem {
    const Graph &graph;
    Shape shape;
    int64_t width, features, size, weights;
    Numbers x, grad, weight;

    Problem(const Graph &graph, const Shape &shape)
        : graph(graph), shape(shape), width(shape.per_channel ? shape.channels : 1), features(shape.channels * shape.inner),
          size(shape.batch * graph.neurons * features), weights(graph.edges() * width), x(quarters(size)), grad(quarters(size)),
          weight(quarters(weights)) {}

private:
    static Numbers quarters(int64_t count) {
        Numbers values(static_cast<size_t>(count));
        for (double &value : values) value = static_cast<double>(below(17) - 8) / 4.0;
        return values;
    }
};

// What plain loops give, and for each number the sum of the sizes of its terms, which bounds the rounding error.
struct Expected {
    Numbers y, grad_x, grad_weight, scale_y, scale_x, scale_weight;
    std::vector<int32_t> winner;

    Expected(const Problem &p, int64_t reduce)
        : y(p.x.size()), grad_x(p.x.size()), grad_weight(p.weight.size()), scale_y(p.x.size(), 1.0), scale_x(p.x.size()),
          scale_weight(p.weight.size()), winner(p.x.size(), -1) {
        for (int64_t b = 0; b < p.shape.batch; b++)
            for (int64_t v = 0; v < p.graph.neurons; v++)
                for (int64_t f = 0; f < p.features; f++) one_target(p, reduce, b, v, f);
    }

private:
    void one_target(const Problem &p, int64_t reduce, int64_t b, int64_t v, int64_t f) {
        const int32_t *edge = p.graph.perm.data() + p.graph.rowptr[size_t(v)];
        const int64_t degree = p.graph.rowptr[size_t(v) + 1] - p.graph.rowptr[size_t(v)];
        auto at = [&](int64_t e) { return size_t((b * p.graph.neurons + p.graph.source[size_t(e)]) * p.features + f); };
        auto place = [&](int64_t e) { return size_t(e * p.width + (p.shape.per_channel ? f / p.shape.inner : 0)); };
        auto message = [&](int64_t e) { return p.weight[place(e)] * p.x[at(e)]; };
        const size_t here = size_t((b * p.graph.neurons + v) * p.features + f);
        double value = reduce == ELEGANS_MUL ? 1 : 0;
        int32_t best = -1;
        for (int64_t i = 0; i < degree; i++) {
            const double m = message(edge[i]);
            scale_y[here] += std::fabs(m);
            if (reduce == ELEGANS_MUL) value *= m;
            else if (reduce != ELEGANS_MAX) value += m;
            else if (best < 0 || m > value) value = m, best = edge[i];
        }
        const double share = reduce == ELEGANS_MEAN && degree ? 1 / static_cast<double>(degree) : 1;
        y[here] = value * share, winner[here] = best;
        for (int64_t i = 0; i < degree; i++) {
            const size_t s = at(edge[i]), w = place(edge[i]);
            double g = p.grad[here] * share;
            if (reduce == ELEGANS_MAX && best != edge[i]) g = 0;
            for (int64_t j = 0; reduce == ELEGANS_MUL && j < degree; j++) g *= j == i ? 1 : message(edge[j]);
            grad_x[s] += g * p.weight[w], scale_x[s] += std::fabs(g * p.weight[w]);
            grad_weight[w] += g * p.x[s], scale_weight[w] += std::fabs(g * p.x[s]);
        }
    }
};

struct Results {
    Store y, grad_x, grad_weight;
    Memory winner;
};

// One forward and one backward call; `only` leaves out one gradient: 'x' or 'w' is the one that is computed.
Results run(const Problem &p, elegans_call c, int threads, char only = 0) {
    const Store x(c.dtype, p.x), grad(c.dtype, p.grad), weight(c.weight_dtype, p.weight);
    Results out{Store(c.dtype, p.size), Store(c.dtype, p.size), Store(c.weight_dtype, p.weights),
                Memory(c.reduce == ELEGANS_MAX ? 4 * p.size : 0)};
    c.threads = threads;
    c.batch = p.shape.batch, c.neurons = p.graph.neurons, c.channels = p.shape.channels, c.inner = p.shape.inner;
    c.edges = p.graph.edges(), c.weight_channels = p.width;
    c.x = x.memory.address(), c.weight = weight.memory.address(), c.winner = out.winner.address(), c.y = out.y.memory.address();
    c.x_batch = p.graph.neurons * p.features, c.x_neuron = p.features, c.x_channel = p.shape.inner;
    c.weight_edge = p.width, c.weight_channel = 1;
    c.rowptr = address(p.graph.rowptr), c.col = address(p.graph.col), c.perm = address(p.graph.perm);
    c.colptr = address(p.graph.colptr), c.row = address(p.graph.row), c.csc_perm = address(p.graph.csc_perm);
    if (elegans_forward(&c)) fail("elegans_forward had no memory");
    c.grad = grad.memory.address(), c.grad_batch = c.x_batch, c.grad_neuron = c.x_neuron, c.grad_channel = c.x_channel;
    c.grad_x = only == 'w' ? 0 : out.grad_x.memory.address();
    c.grad_weight = only == 'x' ? 0 : out.grad_weight.memory.address();
    if (elegans_backward(&c)) fail("elegans_backward had no memory");
    return out;
}

void compare(const char *what, const Problem &p, const elegans_call &c, const Store &found, const Numbers &expected,
             const Numbers &scale) {
    const double rounding = found.dtype == ELEGANS_F64 ? 1e-12 : c.dtype == ELEGANS_F32 ? 1e-5 : 2e-2;
    for (size_t i = 0; i < expected.size(); i++) {
        const double value = found.get(static_cast<int64_t>(i));
        // Half precision overflows where the product of many messages does not fit.
        if (found.dtype == ELEGANS_F16 && std::fabs(expected[i]) > 60000) continue;
        // The smallest numbers of half precision are 6e-8 apart.
        const double tiny = found.dtype == ELEGANS_F16 ? 1e-7 : 0;
        if (!(std::fabs(value - expected[i]) <= rounding * (std::fabs(expected[i]) + scale[i]) + tiny))
            fail("%s: %g, expected %g (reduce %d dtype %d schedule %d isa %d B %d C %d K %d N %d E %d)", what, value,
                 expected[i], int(c.reduce), int(c.dtype), int(c.schedule), int(c.isa), int(p.shape.batch),
                 int(p.shape.channels), int(p.shape.inner), int(p.graph.neurons), int(p.graph.edges()));
    }
}

void check(const Problem &p, const elegans_call &c, const Expected &expected, bool all_threads) {
    const Results first = run(p, c, kThreads[0]);
    compare("y", p, c, first.y, expected.y, expected.scale_y);
    compare("grad_x", p, c, first.grad_x, expected.grad_x, expected.scale_x);
    compare("grad_weight", p, c, first.grad_weight, expected.grad_weight, expected.scale_weight);
    for (int64_t i = 0; c.reduce == ELEGANS_MAX && i < p.size; i++)
        if (first.winner.take<int32_t>(i) != expected.winner[size_t(i)]) fail("max: another edge won");
    cases++;
    for (int threads : kThreads) {
        if (!all_threads || threads == kThreads[0]) continue;
        const Results other = run(p, c, threads);
        if (!first.y.memory.same(other.y.memory) || !first.winner.same(other.winner) ||
            !first.grad_x.memory.same(other.grad_x.memory) || !first.grad_weight.memory.same(other.grad_weight.memory))
            fail("%d threads give another result (reduce %d dtype %d schedule %d isa %d)", threads, int(c.reduce),
                 int(c.dtype), int(c.schedule), int(c.isa));
        cases++;
    }
    const Results for_x = run(p, c, 2, 'x'), for_weight = run(p, c, 2, 'w');
    if (!first.grad_x.memory.same(for_x.grad_x.memory)) fail("grad_x alone differs");
    if (!first.grad_weight.memory.same(for_weight.grad_weight.memory)) fail("grad_weight alone differs");
    cases += 2;
}

// All reductions, dtypes, schedules and instruction sets.
void sweep(const Graph &graph, const Shape &shape, bool all_threads, bool brief) {
    const Problem p(graph, shape);
    for (int64_t reduce = 0; reduce < 4; reduce++) {
        const Expected expected(p, reduce);
        for (int64_t dtype = 0; dtype < 4; dtype++)
            for (int64_t float_weight = 0; float_weight < (dtype > 1 ? 2 : 1); float_weight++)
                for (int64_t schedule = 1; schedule < 3; schedule++)
                    for (int64_t isa = brief ? elegans_best_isa() : 1; isa <= elegans_best_isa(); isa++) {
                        elegans_call call{};
                        call.reduce = reduce, call.dtype = dtype, call.schedule = schedule, call.isa = isa;
                        call.weight_dtype = float_weight ? int64_t(ELEGANS_F32) : dtype;
                        check(p, call, expected, all_threads);
                    }
    }
}

// Outputs of 8 MB and more are written past the cache.
[[maybe_unused]] void large_outputs() {
    const Graph graph(64, 100, 3);
    const Problem p(graph, Shape{32, 1, 1024, false});
    const Expected expected(p, ELEGANS_SUM);
    for (int64_t dtype : {ELEGANS_F32, ELEGANS_F64})
        for (int64_t isa = 1; isa <= elegans_best_isa(); isa++) {
            elegans_call call{};
            call.reduce = ELEGANS_SUM, call.dtype = call.weight_dtype = dtype, call.schedule = ELEGANS_STRIPS, call.isa = isa;
            check(p, call, expected, false);
        }
}

}  // namespace

void test_aggregation(bool brief) {
#if !defined(__SANITIZE_THREAD__)  // small shapes run on one thread
    const Graph none(1, 0), loops(1, 3), islands(9, 12, 4), sparse(5, 7), dense(13, 60);
    const Shape small[] = {{1, 1, 1, false},  {3, 1, 5, false},  {2, 1, 16, false}, {1, 1, 70, false}, {2, 1, 133, false},
                           {20, 1, 1, false}, {3, 7, 1, true},   {2, 20, 1, true},  {1, 70, 1, true},  {2, 3, 5, true},
                           {2, 2, 33, true},  {19, 2, 3, true}};
    for (const Graph *graph : {&none, &loops, &islands, &sparse, &dense})
        for (const Shape &shape : small) sweep(*graph, shape, false, brief);
    if (!brief) large_outputs();
#endif
    // Large enough for several threads: the kernels use one thread for less than 20,000 vector operations.
    const Graph wide(50, 600, 5);
    const Shape large[] = {{4, 1, 133, false}, {165, 1, 3, false}, {7, 70, 1, true}, {4, 3, 37, true}};
    for (const Shape &shape : large) sweep(wide, shape, true, brief);
    elegans_call call{};
    call.isa = elegans_best_isa() + 1;
    if (elegans_forward(&call) != 2 || elegans_backward(&call) != 2) fail("an instruction set that is absent was accepted");
}
