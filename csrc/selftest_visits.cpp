// The tensor network's visits against plain loops: random programs, every operation code, forward and backward.
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "selftest.h"
#include "visits_program.h"

namespace {

using Numbers = std::vector<double>;

constexpr int CODES = 5;
int64_t executed[CODES];

// A tensor [rows, neurons, feature] with gaps after each neuron and each row; its last number ends the memory.
template <class T>
struct Tensor {
    int64_t rows, neurons, feature, neuron_stride, row_stride;
    Memory memory;

    Tensor(int64_t rows, int64_t neurons, int64_t feature, int64_t gap)
        : rows(rows), neurons(neurons), feature(feature), neuron_stride(feature + gap),
          row_stride(neurons * neuron_stride + gap), memory(rows && neurons ? int64_t(sizeof(T)) * numbers() : 0) {}

    int64_t numbers() const { return (rows - 1) * row_stride + (neurons - 1) * neuron_stride + feature; }
    int64_t place(int64_t row, int64_t neuron, int64_t k) const { return row * row_stride + neuron * neuron_stride + k; }
    void fill(const Numbers &values) {
        for (int64_t i = 0; i < rows * neurons * feature; i++)
            memory.put(place(i / (neurons * feature), i / feature % neurons, i % feature), T(values[size_t(i)]));
    }
    Numbers values() const {
        Numbers found(size_t(rows * neurons * feature));
        for (int64_t i = 0; i < rows * neurons * feature; i++) {
            const int64_t at = place(i / (neurons * feature), i / feature % neurons, i % feature);
            found[size_t(i)] = double(memory.template take<T>(at));
        }
        return found;
    }
};

struct Shape {
    int64_t rows, feature, slots, steps;
    int64_t neurons[SOURCES];
};

// A random program and its inputs, which float and double hold exactly.
struct Case {
    Shape shape;
    int32_t fuse, norm;
    bool weighted;
    double eps = 0.125;
    std::vector<int32_t> loads;
    std::vector<Instruction> code;
    int64_t exported[3] = {0, 0, 0}, edges = 0;
    Numbers source[SOURCES], grad_out[3], weight;

    Case(const Shape &shape, int32_t fuse, int32_t norm, bool weighted)
        : shape(shape), fuse(fuse), norm(norm), weighted(weighted) {
        for (int64_t s = 0; s < shape.slots; s++) {
            int64_t k = below(SOURCES);
            while (!shape.neurons[k]) k = (k + 1) % SOURCES;
            loads.push_back(int32_t(k)), loads.push_back(int32_t(below(shape.neurons[k])));
        }
        for (int64_t t = 0; t < shape.steps; t++) code.push_back(instruction());
        for (int64_t k = 0; k < SOURCES; k++) source[k] = eighths(shape.rows * shape.neurons[k] * shape.feature);
        for (int64_t k = 0; k < 3; k++) grad_out[k] = eighths(shape.rows * exported[k] * shape.feature);
        weight = eighths(edges);
    }

private:
    // Half of the visits go to the last target again (the kernels join such runs), and some neurons visit themselves.
    Instruction instruction() {
        Instruction step{};
        step.code = int32_t(below(8));
        step.source = int32_t(below(shape.slots));
        if (step.code >= CODES) step.code = FUSE;
        executed[step.code]++;
        if (step.code >= UNIT_INPUT) {
            step.target = int32_t(exported[step.code - UNIT_INPUT]++);
            return step;
        }
        const bool again = !code.empty() && code.back().code < UNIT_INPUT && below(2);
        step.target = again ? code.back().target : int32_t(below(shape.slots));
        step.edge = step.code == FUSE ? int32_t(edges++) : 0;
        return step;
    }

    // In +-[1/2, 11/8]: products of many stay within bounds.
    static Numbers eighths(int64_t count) {
        Numbers values(static_cast<size_t>(count));
        for (double &value : values) value = double(4 + below(8)) / 8.0 * (below(4) ? 1 : -1);
        return values;
    }
};

struct Expected {
    Numbers exports[3], grad[SOURCES], grad_weight;
    double largest = 0;  // of all states and gradients

    void see(const Numbers &values) {
        for (double value : values) largest = std::max(largest, std::fabs(value));
    }
};

// One row after the other; every version of a state is kept, with its gradient: textbook reverse-mode differentiation.
Expected expect(const Case &c) {
    const size_t feature = size_t(c.shape.feature), slots = size_t(c.shape.slots);
    Expected out;
    for (int k = 0; k < 3; k++) out.exports[k].resize(c.grad_out[k].size());
    for (int k = 0; k < 3; k++) out.grad[k].resize(c.source[k].size());
    out.grad_weight.resize(c.weight.size());
    for (int64_t row = 0; row < c.shape.rows; row++) {
        auto source_at = [&](size_t slot) {
            const int32_t k = c.loads[2 * slot];
            return size_t(row * c.shape.neurons[k] + c.loads[2 * slot + 1]) * feature;
        };
        auto export_at = [&](const Instruction &step) {
            return size_t(row * c.exported[step.code - UNIT_INPUT] + step.target) * feature;
        };
        auto weight_at = [&](const Instruction &step) {
            return c.weighted && step.code == FUSE ? c.weight[size_t(step.edge)] : 1.0;
        };
        auto is_product = [&](const Instruction &step) { return c.fuse == PRODUCT && step.code == FUSE; };
        auto norm_at = [&](const Instruction &step) {
            return c.norm == ROOT_MEAN_SQUARE && step.code == ADD ? int32_t(NO_NORM) : c.norm;
        };
        std::vector<Numbers> version;
        std::vector<size_t> current(slots), old(c.code.size()), from(c.code.size()), made(c.code.size());
        Numbers factor(c.code.size());
        for (size_t s = 0; s < slots; s++) {
            const double *start = c.source[c.loads[2 * s]].data() + source_at(s);
            current[s] = s, version.emplace_back(start, start + feature);
        }
        for (size_t t = 0; t < c.code.size(); t++) {
            const Instruction &step = c.code[t];
            from[t] = current[size_t(step.source)];
            if (step.code >= UNIT_INPUT) {
                for (size_t i = 0; i < feature; i++)
                    out.exports[step.code - UNIT_INPUT][export_at(step) + i] = version[from[t]][i];
                continue;
            }
            old[t] = current[size_t(step.target)];
            const Numbers a = version[from[t]], b = version[old[t]];
            const double w = weight_at(step);
            Numbers y(feature);
            for (size_t i = 0; i < feature; i++) y[i] = is_product(step) ? b[i] * (1 + w * (a[i] - 1)) : b[i] + w * a[i];
            double mean = 0, square = 0;
            for (double value : y) mean += norm_at(step) == LAYER_NORM ? value / double(feature) : 0;
            for (double value : y) square += (value - mean) * (value - mean) / double(feature);
            factor[t] = 1 / std::sqrt(square + c.eps);
            for (double &value : y) value = norm_at(step) == NO_NORM ? value : (value - mean) * factor[t];
            made[t] = current[size_t(step.target)] = version.size();
            version.push_back(y);
        }
        for (const Numbers &state : version) out.see(state);
        std::vector<Numbers> grad(version.size(), Numbers(feature));
        for (size_t t = c.code.size(); t-- > 0;) {
            const Instruction &step = c.code[t];
            Numbers &grad_a = grad[from[t]];
            if (step.code >= UNIT_INPUT) {
                for (size_t i = 0; i < feature; i++) grad_a[i] += c.grad_out[step.code - UNIT_INPUT][export_at(step) + i];
                continue;
            }
            Numbers g = grad[made[t]];
            const Numbers &y = version[made[t]], &a = version[from[t]], &b = version[old[t]];
            double mean = 0, along = 0;
            for (size_t i = 0; i < feature; i++) {
                mean += norm_at(step) == LAYER_NORM ? g[i] / double(feature) : 0;
                along += g[i] * y[i] / double(feature);
            }
            for (size_t i = 0; norm_at(step) != NO_NORM && i < feature; i++) g[i] = factor[t] * (g[i] - mean - y[i] * along);
            const double w = weight_at(step);
            for (size_t i = 0; i < feature; i++) {
                const bool product = is_product(step);
                grad[old[t]][i] += g[i] * (product ? 1 + w * (a[i] - 1) : 1);
                grad_a[i] += g[i] * w * (product ? b[i] : 1);
                if (step.code == FUSE) out.grad_weight[size_t(step.edge)] += g[i] * (product ? b[i] * (a[i] - 1) : a[i]);
            }
        }
        for (const Numbers &value : grad) out.see(value);
        for (size_t s = 0; s < slots; s++)
            for (size_t i = 0; i < feature; i++) out.grad[c.loads[2 * s]][source_at(s) + i] += grad[s][i];
    }
    return out;
}

void close(const char *what, const Case &c, const Numbers &found, const Numbers &expected, double rounding) {
    double scale = 1;
    for (double value : expected) scale = std::max(scale, std::fabs(value));
    for (size_t i = 0; i < expected.size(); i++)
        if (!(std::fabs(found[i] - expected[i]) <= rounding * scale))
            return fail("visits, %s: %g, expected %g (fuse %d norm %d weighted %d rows %d feature %d steps %d)", what, found[i],
                        expected[i], c.fuse, c.norm, c.weighted, int(c.shape.rows), int(c.shape.feature), int(c.shape.steps));
}

template <class T>
struct Results {
    std::vector<Tensor<T>> exports, grad;
    Memory grad_weight;

    bool same(const Results &other) const {
        bool all = grad_weight.same(other.grad_weight);
        for (size_t k = 0; k < 3; k++)
            all = all && exports[k].memory.same(other.exports[k].memory) && grad[k].memory.same(other.grad[k].memory);
        return all;
    }
};

int forward(const tensor_network_call &call, float) { return elegans_visits_forward_f32(&call); }
int forward(const tensor_network_call &call, double) { return elegans_visits_forward_f64(&call); }
int backward(const tensor_network_call &call, float) { return elegans_visits_backward_f32(&call); }
int backward(const tensor_network_call &call, double) { return elegans_visits_backward_f64(&call); }

// One forward and one backward call; bit k of `wanted` asks for the gradient of source k, bit 3 for that of the weights.
template <class T>
Results<T> run(const Case &c, int threads, int wanted) {
    const Shape &shape = c.shape;
    omp_set_num_threads(threads);
    Results<T> out{{}, {}, Memory(wanted & 8 ? int64_t(sizeof(double)) * c.edges : 0)};
    Memory weight(c.weighted ? int64_t(sizeof(T)) * c.edges : 0);
    for (int64_t e = 0; e < c.edges; e++) {
        if (c.weighted) weight.put(e, T(c.weight[size_t(e)]));
        if (wanted & 8) out.grad_weight.put(e, 0.0);
    }
    tensor_network_call call{};
    call.rows = shape.rows, call.feature = shape.feature, call.slots = shape.slots, call.steps = shape.steps;
    call.loads = static_cast<int64_t>(reinterpret_cast<uintptr_t>(c.loads.data()));
    call.code = static_cast<int64_t>(reinterpret_cast<uintptr_t>(c.code.data()));
    call.edge_weight = weight.address();
    call.fuse = c.fuse, call.norm = c.norm, call.eps = c.eps;
    std::vector<Tensor<T>> sources, grads_out;
    for (int k = 0; k < SOURCES; k++) {
        sources.emplace_back(shape.rows, shape.neurons[k], shape.feature, k), sources[k].fill(c.source[k]);
        call.source[k] = sources[k].memory.address();
        call.source_row[k] = sources[k].row_stride, call.source_neuron[k] = sources[k].neuron_stride;
        out.exports.emplace_back(shape.rows, c.exported[k], shape.feature, k);
        call.outside[k] = out.exports[k].memory.address();
        call.outside_row[k] = out.exports[k].row_stride, call.outside_neuron[k] = out.exports[k].neuron_stride;
    }
    if (forward(call, T())) fail("the visits had no memory");
    const bool no_states_needed = c.fuse == SUM && c.norm == NO_NORM && !c.weighted && !(wanted & 8);
    for (int k = 0; k < SOURCES; k++) {
        grads_out.emplace_back(shape.rows, c.exported[k], shape.feature, 2 - k), grads_out[k].fill(c.grad_out[k]);
        call.outside[k] = grads_out[k].memory.address();
        call.outside_row[k] = grads_out[k].row_stride, call.outside_neuron[k] = grads_out[k].neuron_stride;
        if (no_states_needed) call.source[k] = 0;
        out.grad.emplace_back(wanted >> k & 1 ? shape.rows : 0, shape.neurons[k], shape.feature, k);
        call.grad[k] = out.grad[k].memory.address();
        call.grad_row[k] = out.grad[k].row_stride, call.grad_neuron[k] = out.grad[k].neuron_stride;
        call.neurons[k] = shape.neurons[k];
    }
    call.grad_weight = out.grad_weight.address();
    if (backward(call, T())) fail("the visits' backward had no memory");
    return out;
}

template <class T>
void check(const Case &c, const Expected &expected, int wanted, double rounding) {
    if (!c.weighted) wanted &= 7;
    const Results<T> first = run<T>(c, kThreads[0], wanted);
    const char *exports[] = {"unit inputs", "carry", "finished states"};
    const char *grads[] = {"grad of input", "grad of carry", "grad of units"};
    for (int k = 0; k < 3; k++) {
        close(exports[k], c, first.exports[k].values(), expected.exports[k], rounding);
        if (wanted >> k & 1) close(grads[k], c, first.grad[k].values(), expected.grad[k], rounding);
    }
    Numbers grad_weight;
    for (int64_t e = 0; wanted & 8 && e < c.edges; e++) grad_weight.push_back(first.grad_weight.template take<double>(e));
    if (wanted & 8) close("grad of weights", c, grad_weight, expected.grad_weight, rounding);
    cases++;
    for (int threads : kThreads) {
        if (threads == kThreads[0]) continue;
        if (!first.same(run<T>(c, threads, wanted))) fail("visits: %d threads give another result", threads);
        cases++;
    }
}

struct Drawn {
    Case program;
    Expected expected;
};

// A neuron that visits itself squares its state: programs are drawn again until float holds all squares.
Drawn draw(const Shape &shape, int32_t fuse, int32_t norm, bool weighted) {
    for (;;) {
        const Case program(shape, fuse, norm, weighted);
        const Expected expected = expect(program);
        if (expected.largest < 1e15) return {program, expected};
    }
}

}  // namespace

void test_visits(bool brief) {
    // Rows, feature, slots, steps, neurons of the sources. Some sources are absent, some neurons are never loaded.
    const Shape shapes[] = {
        {5, 3, 6, 20, {4, 3, 9}},    {1, 1, 1, 4, {1, 0, 0}},     {0, 4, 3, 6, {2, 2, 2}},    {37, 17, 5, 0, {0, 3, 4}},
        {300, 70, 7, 24, {3, 2, 6}}, {40, 200, 4, 24, {0, 0, 5}}, {700, 1, 9, 30, {6, 0, 8}}, {130, 64, 5, 30, {2, 5, 1}},
    };
    int wanted = 15;
    for (const Shape &shape : shapes)
        for (int32_t fuse : {SUM, PRODUCT})
            for (int32_t norm : {NO_NORM, LAYER_NORM, ROOT_MEAN_SQUARE})
                for (bool weighted : {false, true})
                    for (int repeat = 0; repeat < (brief ? 1 : 3); repeat++) {
                        const Drawn drawn = draw(shape, fuse, norm, weighted);
                        check<double>(drawn.program, drawn.expected, 15, 1e-11);
                        check<float>(drawn.program, drawn.expected, wanted, 2e-4);
                        wanted = (wanted + 1) % 16;
                    }
    for (int code = 0; code < CODES; code++)
        if (!executed[code]) fail("visits: no program used operation %d", code);
}
