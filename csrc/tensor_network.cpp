// The visits of the tensor network: a small program that fuses states, run for a few samples at a time in cache.
//
// A program works on slots, each one neuron's state of `feature` numbers for a block of samples. It loads values into the
// slots, fuses states in place (sum or product, optionally normalised), and exports versions: inputs for the units of the next
// stage, the carry for its program, and finished states. The instructions run one after the other, in the order of the
// rules. Samples are independent: each thread takes some.
// The backward pass runs the program again for its block, keeping every version in scratch memory, then walks back. Nothing
// that grows with the number of instructions is kept between the passes. Weight gradients are summed over a fixed number of
// partitions in a fixed order, so no result depends on the number of threads.
#include <omp.h>

#include "tensor_network.h"
#include "visits_general.h"
#include "visits_program.h"
#include "visits_sums.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define PER_CPU __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define PER_CPU
#endif

namespace {

constexpr int64_t PARTITIONS = 16;
// Samples are taken together until a slot holds about this many numbers; fewer where all versions are kept.
constexpr int64_t BLOCK_SUMS = 512, BLOCK_GENERAL = 128;

// The first slot that loads a row stores its gradient, later ones add theirs; rows that no slot loads get zeros.
template <class T>
void find_coverage(const Program<T>& p, char* first, char* const* seen) {
    for (int64_t s = 0; s < p.slots; ++s) {
        char& before = seen[p.loads[2 * s]][p.loads[2 * s + 1]];
        first[s] = !before;
        before = 1;
    }
}

// What the backward pass needs besides the program.
template <class T>
struct Adjoint {
    const tensor_network_call& call;
    Exports<const T> grad;
    Operands at;
    const char* first;        // [slots]
    const char* const* seen;  // [SOURCES] of [neurons]
    bool sums;
};

template <class T>
INLINE void store_grads(const Program<T>& p, const Adjoint<T>& a, int64_t first, int64_t count, const T* grads) {
    const size_t bytes = sizeof(T) * size_t(p.feature);
    const tensor_network_call& call = a.call;
    for (int64_t s = 0; s < p.slots; ++s) {
        const int32_t k = p.loads[2 * s];
        if (!call.grad[k]) continue;
        T* into = address<T>(call.grad[k]) + first * call.grad_row[k] + p.loads[2 * s + 1] * call.grad_neuron[k];
        const T* g = grads + s * count * p.feature;
        for (int64_t r = 0; r < count; ++r, into += call.grad_row[k], g += p.feature)
            if (a.first[s])
                std::memcpy(into, g, bytes);
            else
                add(into, g, p.feature);
    }
    for (int64_t k = 0; k < SOURCES; ++k)
        for (int64_t row = 0; call.grad[k] && row < call.neurons[k]; ++row)
            for (int64_t r = 0; !a.seen[k][row] && r < count; ++r)
                std::memset(address<T>(call.grad[k]) + (first + r) * call.grad_row[k] + row * call.grad_neuron[k], 0, bytes);
}

template <class T>
INLINE void backward_block(const Program<T>& p, const Adjoint<T>& a, int64_t first, int64_t count, T* scratch,
                           double* grad_weight) {
    const int64_t width = count * p.feature;
    T *grads = scratch, *values = grads + p.slots * width, *factors = values + (p.slots + p.steps) * width;
    if (a.sums)
        backward_sums(p, first, count, a.grad, grads);
    else
        backward_general(p, a.at, first, count, a.grad, values, factors, grads, grad_weight);
    store_grads(p, a, first, count, grads);
}

template <class T>
INLINE void forward_block(const Program<T>& p, int64_t first, int64_t count, T* slots, const Exports<T>& out) {
    if (is_sums(p))
        forward_sums(p, first, count, slots, out);
    else
        forward_general(p, first, count, slots, out);
}

// The clones for each CPU are plain functions, called from the parallel loops: outlined loop bodies are not cloned.
PER_CPU void run_forward(const Program<float>& p, int64_t first, int64_t count, float* slots, const Exports<float>& out) {
    forward_block(p, first, count, slots, out);
}
PER_CPU void run_forward(const Program<double>& p, int64_t first, int64_t count, double* slots, const Exports<double>& out) {
    forward_block(p, first, count, slots, out);
}
PER_CPU void run_backward(const Program<float>& p, const Adjoint<float>& a, int64_t first, int64_t count, float* scratch,
                          double* grad_weight) {
    backward_block(p, a, first, count, scratch, grad_weight);
}
PER_CPU void run_backward(const Program<double>& p, const Adjoint<double>& a, int64_t first, int64_t count, double* scratch,
                          double* grad_weight) {
    backward_block(p, a, first, count, scratch, grad_weight);
}

template <class T>
int64_t block_rows(const Program<T>& p, int64_t numbers) {
    return std::max<int64_t>(1, std::min<int64_t>(p.rows, numbers / std::max<int64_t>(1, p.feature)));
}

template <class T>
int forward(const tensor_network_call& call) {
    const Program<T> p(call);
    const Exports<T> out(call);
    const int64_t block = block_rows(p, is_sums(p) ? BLOCK_SUMS : BLOCK_GENERAL), blocks = (p.rows + block - 1) / block;
    const int64_t size = p.slots * block * p.feature + 1;
    const int64_t threads = std::max<int64_t>(1, std::min<int64_t>(omp_get_max_threads(), blocks));
    const Buffer<T> scratch(size * threads);
    if (!scratch.data) return 1;
#pragma omp parallel for schedule(static) num_threads(int(threads))
    for (int64_t i = 0; i < blocks; ++i)
        run_forward(p, i * block, std::min(block, p.rows - i * block), scratch.data + omp_get_thread_num() * size, out);
    return 0;
}

template <class T>
int backward(const tensor_network_call& call) {
    const Program<T> p(call);
    const bool sums = is_sums(p) && !p.edge_weight;
    const int64_t block = block_rows(p, sums ? BLOCK_SUMS : BLOCK_GENERAL), blocks = (p.rows + block - 1) / block;
    const int64_t kept = sums ? 0 : (p.slots + p.steps) * block * p.feature + p.steps * block;
    const int64_t size = p.slots * block * p.feature + kept + 1;
    const int64_t threads = std::max<int64_t>(1, std::min<int64_t>(omp_get_max_threads(), std::min(blocks, PARTITIONS)));
    double* const grad_weight = address<double>(call.grad_weight);
    const Buffer<T> scratch(size * threads);
    const Buffer<double> partial(grad_weight ? PARTITIONS * p.steps : 0, true);
    const Buffer<int64_t> operands(sums ? 0 : 2 * p.steps + p.slots);
    const Buffer<char> covered(p.slots + call.neurons[0] + call.neurons[1] + call.neurons[2], true);
    if (!scratch.data || !partial.data || !operands.data || !covered.data) return 1;
    if (!sums) find_operands(p, operands.data, operands.data + p.steps, operands.data + 2 * p.steps);
    char* const seen[SOURCES] = {covered.data + p.slots, covered.data + p.slots + call.neurons[0],
                                 covered.data + p.slots + call.neurons[0] + call.neurons[1]};
    find_coverage(p, covered.data, seen);
    const Adjoint<T> a{call, Exports<const T>(call), {operands.data, operands.data + p.steps}, covered.data, seen, sums};
#pragma omp parallel for schedule(static) num_threads(int(threads))
    for (int64_t part = 0; part < PARTITIONS; ++part) {
        double* mine = grad_weight ? partial.data + part * p.steps : nullptr;
        for (int64_t i = part * blocks / PARTITIONS; i < (part + 1) * blocks / PARTITIONS; ++i)
            run_backward(p, a, i * block, std::min(block, p.rows - i * block), scratch.data + omp_get_thread_num() * size, mine);
    }
    for (int64_t t = 0; grad_weight && t < p.steps; ++t)
        for (int64_t part = 0; p.code[t].code == FUSE && part < PARTITIONS; ++part)
            grad_weight[p.code[t].edge] += partial.data[part * p.steps + t];
    return 0;
}

}  // namespace

extern "C" {

int elegans_visits_forward_f32(const tensor_network_call* call) { return forward<float>(*call); }
int elegans_visits_forward_f64(const tensor_network_call* call) { return forward<double>(*call); }
int elegans_visits_backward_f32(const tensor_network_call* call) { return backward<float>(*call); }
int elegans_visits_backward_f64(const tensor_network_call* call) { return backward<double>(*call); }
}
