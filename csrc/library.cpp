// The exported functions: they choose the instruction set.

#include "kernels.h"

namespace {

int best_isa() {
#if defined(ELEGANS_X86)
    __builtin_cpu_init();
    bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
                __builtin_cpu_supports("bmi2");
    if (avx512 && avx2) return ELEGANS_AVX512;
    if (avx2) return ELEGANS_AVX2;
#endif
    return ELEGANS_BASELINE;
}

template <class Call> struct Kernel {
    int (*baseline)(const Call &), (*avx2)(const Call &), (*avx512)(const Call &);

    int operator()(const Call &call) const {
        const int best = elegans_best_isa();
        const int64_t isa = call.isa == ELEGANS_BEST ? best : call.isa;
        if (isa > best) return 2;
        return (isa == ELEGANS_AVX512 ? avx512 : isa == ELEGANS_AVX2 ? avx2 : baseline)(call);
    }
};

#if defined(ELEGANS_X86)
#define ELEGANS_KERNEL(Call, name) (Kernel<Call>{elegans_baseline::name, elegans_avx2::name, elegans_avx512::name})
#else
#define ELEGANS_KERNEL(Call, name) (Kernel<Call>{elegans_baseline::name, nullptr, nullptr})
#endif

}  // namespace

extern "C" {

int elegans_forward(const elegans_call *call) { return ELEGANS_KERNEL(elegans_call, forward)(*call); }
int elegans_backward(const elegans_call *call) { return ELEGANS_KERNEL(elegans_call, backward)(*call); }
int elegans_synaptic_forward(const synaptic_call *call) { return ELEGANS_KERNEL(synaptic_call, synaptic_forward)(*call); }
int elegans_synaptic_backward(const synaptic_call *call) { return ELEGANS_KERNEL(synaptic_call, synaptic_backward)(*call); }
int elegans_abi(void) { return ELEGANS_GNN_ABI; }
int elegans_best_isa(void) {
    static const int isa = best_isa();
    return isa;
}
}
