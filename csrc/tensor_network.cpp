// The visits of the tensor network: a small program of fused arrivals, run for a few samples at a time in cache.
//
// A program works on slots, each one neuron's state of `feature` numbers for a block of samples. It loads values into the
// slots, fuses states in place (sum or product, optionally normalised), and exports versions: taps for the units of the next
// stage, carry for its program, and states that are done. The instructions run one after the other, in the order of the rules; samples are independent,
// so threads share them out.
// The backward pass runs the program again for its block, keeping every version in scratch memory, then walks back. Nothing
// that grows with the number of instructions is kept between the passes. Weight gradients are summed over a fixed number of
// partitions in a fixed order, so no result depends on the number of threads.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include <omp.h>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define PER_CPU __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define PER_CPU
#endif
#define EXPORTED extern "C" __attribute__((visibility("default")))
#define INLINE static inline __attribute__((always_inline))
#define INLINE_MEMBER inline __attribute__((always_inline))

namespace {

enum Code : int32_t { FUSE = 0, ADD = 1, TAP = 2, CARRY = 3, DONE = 4 };
enum Fuse : int32_t { SUM = 0, PRODUCT = 1 };
enum Norm : int32_t { NO_NORM = 0, LAYER_NORM = 1, ROOT_MEAN_SQUARE = 2 };  // the last on fused arrivals only

constexpr int64_t SOURCES = 3;  // the input, the last program's carry, this stage's units
constexpr int64_t PARTITIONS = 16;
// Samples are taken together until a slot holds about this many numbers; fewer where all versions are kept.
constexpr int64_t BLOCK_SUMS = 512, BLOCK_GENERAL = 128;

struct Instruction {
    int32_t code, target, source, edge, wave;
};

// Zeroed memory; `data` is null if there was none. The library is linked without the C++ runtime, hence no std::vector.
template <class T>
struct Buffer {
    T* data;
    explicit Buffer(int64_t size) : data(static_cast<T*>(std::calloc(size_t(std::max<int64_t>(size, 1)), sizeof(T)))) {}
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer() { std::free(data); }
};

template <class T>
struct Program {
    int64_t rows, feature;
    const T* const* source;         // [SOURCES] base of each source tensor [rows, n, feature]
    const int64_t* row_stride;      // [SOURCES] in elements
    const int64_t* neuron_stride;   // [SOURCES]
    int64_t slots;
    const int32_t* loads;           // [slots, 2]: source, row
    int64_t steps;
    const Instruction* code;
    const T* edge_weight;           // [edges] or null
    int32_t fuse, norm;
    T eps;
};

INLINE bool is_export(const Instruction& step) { return step.code >= TAP; }

// Taps, carry and finished states, or their gradients: [rows, n, feature] with neighbouring neurons side by side.
template <class P>
struct Exports {
    P* const* base;              // [3]
    const int64_t* row_stride;   // [3]

    INLINE_MEMBER P* at(const Instruction& step, int64_t row, int64_t feature) const {
        const int32_t k = step.code - TAP;
        return base[k] + row * row_stride[k] + step.target * feature;
    }
};

template <class T>
INLINE bool is_sums(const Program<T>& p) {
    return p.norm == NO_NORM && p.fuse == SUM;
}

template <class T>
INLINE const T* loaded(const Program<T>& p, int64_t slot, int64_t row) {
    const int32_t tensor = p.loads[2 * slot];
    return p.source[tensor] + row * p.row_stride[tensor] + p.loads[2 * slot + 1] * p.neuron_stride[tensor];
}

template <class T>
INLINE int32_t norm_of(const Program<T>& p, const Instruction& step) {
    return p.norm == ROOT_MEAN_SQUARE && step.code == ADD ? int32_t(NO_NORM) : p.norm;
}

template <class T>
INLINE T weight_of(const Program<T>& p, const Instruction& step) {
    return p.edge_weight && step.code == FUSE ? p.edge_weight[step.edge] : T(1);
}

template <class T>
INLINE void add(T* into, const T* g, int64_t n) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) into[i] += g[i];
}

// y = b + w a, or b (1 + w (a - 1)); y may be b, a may be b.
template <class T>
INLINE void combine(T* y, const T* b, const T* a, T w, bool product, bool weighted, int64_t n) {
    if (product && weighted) {
#pragma omp simd
        for (int64_t i = 0; i < n; ++i) y[i] = b[i] * (T(1) + w * (a[i] - T(1)));
    } else if (product) {
#pragma omp simd
        for (int64_t i = 0; i < n; ++i) y[i] = b[i] * a[i];
    } else if (weighted) {
#pragma omp simd
        for (int64_t i = 0; i < n; ++i) y[i] = b[i] + w * a[i];
    } else {
#pragma omp simd
        for (int64_t i = 0; i < n; ++i) y[i] = b[i] + a[i];
    }
}

// y = (y - mean) / sqrt(var + eps), or y / sqrt(mean square + eps); gives the factor.
template <class T>
INLINE T normalise(T* y, int32_t norm, T eps, int64_t n) {
    T mean = 0;
    if (norm == LAYER_NORM) {
#pragma omp simd reduction(+ : mean)
        for (int64_t i = 0; i < n; ++i) mean += y[i];
        mean /= T(n);
    }
    T square = 0;
#pragma omp simd reduction(+ : square)
    for (int64_t i = 0; i < n; ++i) square += (y[i] - mean) * (y[i] - mean);
    const T factor = T(1) / std::sqrt(square / T(n) + eps);
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = (y[i] - mean) * factor;
    return factor;
}

// Turns the gradient of the normalised y into the gradient of what was normalised.
template <class T>
INLINE void normalise_backward(T* g, const T* y, T factor, int32_t norm, int64_t n) {
    T mean = 0, along = 0;
    if (norm == LAYER_NORM) {
#pragma omp simd reduction(+ : mean, along)
        for (int64_t i = 0; i < n; ++i) {
            mean += g[i];
            along += g[i] * y[i];
        }
    } else {
#pragma omp simd reduction(+ : along)
        for (int64_t i = 0; i < n; ++i) along += g[i] * y[i];
    }
    mean /= T(n);
    along /= T(n);
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) g[i] = factor * (g[i] - mean - y[i] * along);
}

template <class T>
INLINE void load_slots(const Program<T>& p, int64_t first, int64_t count, T* slots) {
    for (int64_t s = 0; s < p.slots; ++s)
        for (int64_t r = 0; r < count; ++r)
            std::memcpy(slots + (s * count + r) * p.feature, loaded(p, s, first + r), sizeof(T) * size_t(p.feature));
}

template <class T>
INLINE void export_rows(const Program<T>& p, const Exports<T>& out, const Instruction& step, int64_t first, int64_t count,
                        const T* value) {
    for (int64_t r = 0; r < count; ++r)
        std::memcpy(out.at(step, first + r, p.feature), value + r * p.feature, sizeof(T) * size_t(p.feature));
}

template <class T>
INLINE void add_exported(const Program<T>& p, const Exports<const T>& grad, const Instruction& step, int64_t first,
                         int64_t count, T* value) {
    for (int64_t r = 0; r < count; ++r) add(value + r * p.feature, grad.at(step, first + r, p.feature), p.feature);
}

// One past the last of the additions into one target that stand side by side.
template <class T>
INLINE int64_t end_of_run(const Program<T>& p, int64_t t) {
    int64_t end = t + 1;
    while (end < p.steps && !is_export(p.code[end]) && p.code[end].target == p.code[t].target &&
           p.code[end].source != p.code[t].target)
        ++end;
    return end;
}

// Sums without norm: a run of additions keeps its target in registers.
template <class T>
INLINE void forward_sums(const Program<T>& p, int64_t first, int64_t count, T* slots, const Exports<T>& out) {
    typedef T Vector __attribute__((vector_size(64), aligned(sizeof(T)), may_alias));
    constexpr int64_t LANES = int64_t(64 / sizeof(T)), UNROLL = 4;
    const int64_t width = count * p.feature;
    load_slots(p, first, count, slots);
    for (int64_t t = 0, end; t < p.steps; t = end) {
        const Instruction run = p.code[t];
        end = t + 1;
        if (is_export(run)) {
            export_rows(p, out, run, first, count, slots + run.source * width);
            continue;
        }
        // A neuron's synapse to itself reads the state that it changes: alone in its run.
        if (run.source != run.target) end = end_of_run(p, t);
        T* target = slots + run.target * width;
        int64_t i = 0;
        for (; i + UNROLL * LANES <= width; i += UNROLL * LANES) {
            Vector sum[UNROLL];
            for (int64_t j = 0; j < UNROLL; ++j) sum[j] = *reinterpret_cast<const Vector*>(target + i + j * LANES);
            for (int64_t k = t; k < end; ++k) {
                const T* source = slots + p.code[k].source * width + i;
                const T w = weight_of(p, p.code[k]);
                for (int64_t j = 0; j < UNROLL; ++j) sum[j] += w * *reinterpret_cast<const Vector*>(source + j * LANES);
            }
            for (int64_t j = 0; j < UNROLL; ++j) *reinterpret_cast<Vector*>(target + i + j * LANES) = sum[j];
        }
        for (int64_t k = t; k < end; ++k)
            combine(target + i, target + i, slots + p.code[k].source * width + i, weight_of(p, p.code[k]), false, true, width - i);
    }
}

template <class T>
INLINE void forward_general(const Program<T>& p, int64_t first, int64_t count, T* slots, const Exports<T>& out) {
    const int64_t width = count * p.feature;
    load_slots(p, first, count, slots);
    for (int64_t t = 0; t < p.steps; ++t) {
        const Instruction step = p.code[t];
        T* target = slots + step.target * width;
        const T* source = slots + step.source * width;
        if (is_export(step)) {
            export_rows(p, out, step, first, count, source);
            continue;
        }
        const bool weighted = p.edge_weight && step.code == FUSE;
        combine(target, target, source, weight_of(p, step), p.fuse == PRODUCT && step.code == FUSE, weighted, width);
        const int32_t norm = norm_of(p, step);
        if (norm != NO_NORM)
            for (int64_t r = 0; r < count; ++r) normalise(target + r * p.feature, norm, p.eps, p.feature);
    }
}

// Without weights a sum's gradient needs no state: walk back over gradients alone, the target's kept in registers.
template <class T>
INLINE void backward_sums(const Program<T>& p, int64_t first, int64_t count, const Exports<const T>& grad, T* grads) {
    typedef T Vector __attribute__((vector_size(64), aligned(sizeof(T)), may_alias));
    constexpr int64_t LANES = int64_t(64 / sizeof(T)), UNROLL = 4;
    const int64_t width = count * p.feature;
    std::memset(grads, 0, sizeof(T) * size_t(p.slots * width));
    for (int64_t t = p.steps - 1, begin; t >= 0; t = begin - 1) {
        const Instruction run = p.code[t];
        begin = t;
        if (is_export(run)) {
            add_exported(p, grad, run, first, count, grads + run.source * width);
            continue;
        }
        while (begin > 0 && run.source != run.target && !is_export(p.code[begin - 1]) &&
               p.code[begin - 1].target == run.target && p.code[begin - 1].source != run.target)
            --begin;
        const T* target = grads + run.target * width;
        int64_t i = 0;
        for (; i + UNROLL * LANES <= width; i += UNROLL * LANES) {
            Vector g[UNROLL];
            for (int64_t j = 0; j < UNROLL; ++j) g[j] = *reinterpret_cast<const Vector*>(target + i + j * LANES);
            for (int64_t k = t; k >= begin; --k) {
                T* source = grads + p.code[k].source * width + i;
                for (int64_t j = 0; j < UNROLL; ++j) *reinterpret_cast<Vector*>(source + j * LANES) += g[j];
            }
        }
        for (int64_t k = t; k >= begin; --k) {
            T* source = grads + p.code[k].source * width + i;
            combine(source, source, target + i, T(1), false, false, width - i);
        }
    }
}

// Where the operands of each instruction stand in the list of all versions: loads first, then one per instruction.
struct Operands {
    const int64_t *target, *source;  // [steps]
};

template <class T>
void find_operands(const Program<T>& p, int64_t* target, int64_t* source, int64_t* current) {
    for (int64_t s = 0; s < p.slots; ++s) current[s] = s;
    for (int64_t t = 0; t < p.steps; ++t) {
        const Instruction& step = p.code[t];
        source[t] = current[step.source];
        if (is_export(step)) continue;
        target[t] = current[step.target];
        current[step.target] = p.slots + t;
    }
}

template <class T>
INLINE void backward_general(const Program<T>& p, const Operands& at, int64_t first, int64_t count,
                             const Exports<const T>& grad, T* values, T* factors, T* grads, double* grad_weight) {
    const int64_t width = count * p.feature;
    load_slots(p, first, count, values);
    for (int64_t t = 0; t < p.steps; ++t) {
        const Instruction step = p.code[t];
        if (is_export(step)) continue;
        T* y = values + (p.slots + t) * width;
        const bool weighted = p.edge_weight && step.code == FUSE;
        combine(y, values + at.target[t] * width, values + at.source[t] * width, weight_of(p, step),
                p.fuse == PRODUCT && step.code == FUSE, weighted, width);
        const int32_t norm = norm_of(p, step);
        if (norm != NO_NORM)
            for (int64_t r = 0; r < count; ++r)
                factors[t * count + r] = normalise(y + r * p.feature, norm, p.eps, p.feature);
    }
    std::fill(grads, grads + p.slots * width, T(0));
    for (int64_t t = p.steps - 1; t >= 0; --t) {
        const Instruction step = p.code[t];
        T* ga = grads + step.source * width;
        if (is_export(step)) {
            add_exported(p, grad, step, first, count, ga);
            continue;
        }
        T* gb = grads + step.target * width;
        const int32_t norm = norm_of(p, step);
        if (norm != NO_NORM)
            for (int64_t r = 0; r < count; ++r)
                normalise_backward(gb + r * p.feature, values + (p.slots + t) * width + r * p.feature,
                                   factors[t * count + r], norm, p.feature);
        const T* a = values + at.source[t] * width;
        const T* b = values + at.target[t] * width;
        const T w = weight_of(p, step);
        if (p.fuse == PRODUCT && step.code == FUSE) {
            if (grad_weight && p.edge_weight) {
                T sum = 0;
#pragma omp simd reduction(+ : sum)
                for (int64_t i = 0; i < width; ++i) sum += gb[i] * b[i] * (a[i] - T(1));
                grad_weight[t] += double(sum);
            }
            // Target and source may be one slot: both parts are made from the old gradient.
#pragma omp simd
            for (int64_t i = 0; i < width; ++i) {
                const T g = gb[i];
                gb[i] = g * (T(1) + w * (a[i] - T(1)));
                ga[i] += g * b[i] * w;
            }
        } else {
            if (grad_weight && p.edge_weight && step.code == FUSE) {
                T sum = 0;
#pragma omp simd reduction(+ : sum)
                for (int64_t i = 0; i < width; ++i) sum += gb[i] * a[i];
                grad_weight[t] += double(sum);
            }
            combine(ga, ga, gb, w, false, true, width);
        }
    }
}

// Gradients are stored, not accumulated, by the slot that is the first to load a row; rows nobody loads get zeros.
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
    Exports<const T> grad;
    T* const* grad_source;   // [SOURCES]
    const int64_t* neurons;  // [SOURCES]
    Operands at;
    const char* first;       // [slots]
    const char* const* seen; // [SOURCES] of [neurons]
    bool sums;
};

template <class T>
INLINE void store_grads(const Program<T>& p, const Adjoint<T>& a, int64_t first, int64_t count, const T* grads) {
    const size_t bytes = sizeof(T) * size_t(p.feature);
    for (int64_t s = 0; s < p.slots; ++s) {
        const int32_t tensor = p.loads[2 * s];
        if (!a.grad_source[tensor]) continue;
        for (int64_t r = 0; r < count; ++r) {
            T* into = a.grad_source[tensor] + ((first + r) * a.neurons[tensor] + p.loads[2 * s + 1]) * p.feature;
            const T* g = grads + (s * count + r) * p.feature;
            if (a.first[s])
                std::memcpy(into, g, bytes);
            else
                add(into, g, p.feature);
        }
    }
    for (int64_t k = 0; k < SOURCES; ++k)
        for (int64_t row = 0; a.grad_source[k] && row < a.neurons[k]; ++row)
            for (int64_t r = 0; !a.seen[k][row] && r < count; ++r)
                std::memset(a.grad_source[k] + ((first + r) * a.neurons[k] + row) * p.feature, 0, bytes);
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
int forward(const Program<T>& p, const Exports<T>& out) {
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
int backward(const Program<T>& p, const Exports<const T>& grad, T* const* grad_source, const int64_t* neurons,
             double* grad_weight) {
    const bool sums = is_sums(p) && !p.edge_weight;
    const int64_t block = block_rows(p, sums ? BLOCK_SUMS : BLOCK_GENERAL), blocks = (p.rows + block - 1) / block;
    const int64_t kept = sums ? 0 : (p.slots + p.steps) * block * p.feature + p.steps * block;
    const int64_t size = p.slots * block * p.feature + kept + 1;
    const int64_t threads = std::max<int64_t>(1, std::min<int64_t>(omp_get_max_threads(), PARTITIONS));
    const Buffer<T> scratch(size * threads);
    const Buffer<double> partial(grad_weight ? PARTITIONS * p.steps : 0);
    const Buffer<int64_t> operands(2 * p.steps + p.slots);
    const Buffer<char> covered(p.slots + neurons[0] + neurons[1] + neurons[2]);
    if (!scratch.data || !partial.data || !operands.data || !covered.data) return 1;
    find_operands(p, operands.data, operands.data + p.steps, operands.data + 2 * p.steps);
    char* const seen[SOURCES] = {covered.data + p.slots, covered.data + p.slots + neurons[0],
                                 covered.data + p.slots + neurons[0] + neurons[1]};
    find_coverage(p, covered.data, seen);
    const Adjoint<T> a{grad, grad_source, neurons, {operands.data, operands.data + p.steps}, covered.data, seen, sums};
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

// Sources are [rows, n, feature] with unit stride on the last axis, or null where nothing is loaded from them. The exports are
// three addresses and row strides, see Exports. The sources' gradients are contiguous and need not be initialised, or are null
// where not wanted; `grad_weight` is [edges] doubles, zero on entry, or null. Both return 0, or 1 if scratch memory is lacking.
#define PROGRAM(T)                                                                                                          \
    int64_t rows, int64_t feature, const T *const *source, const int64_t *row_stride, const int64_t *neuron_stride,         \
        int64_t slots, const int32_t *loads, int64_t steps, const int32_t *code, const T *edge_weight, int32_t fuse,        \
        int32_t norm, double eps
#define MAKE(T)                                                                                                             \
    Program<T> { rows, feature, source, row_stride, neuron_stride, slots, loads, steps,                                     \
                 reinterpret_cast<const Instruction*>(code), edge_weight, fuse, norm, T(eps) }
#define API(T, NAME)                                                                                                        \
    EXPORTED int tensor_network_forward_##NAME(PROGRAM(T), T* const* out, const int64_t* out_stride) {                      \
        return forward(MAKE(T), Exports<T>{out, out_stride});                                                               \
    }                                                                                                                       \
    EXPORTED int tensor_network_backward_##NAME(PROGRAM(T), const T* const* grad, const int64_t* grad_stride,               \
                                                T* const* grad_source, const int64_t* neurons, double* grad_weight) {       \
        return backward(MAKE(T), Exports<const T>{grad, grad_stride}, grad_source, neurons, grad_weight);                   \
    }
API(float, f32)
API(double, f64)
