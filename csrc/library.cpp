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

int run(const elegans_call &call, bool backward) {
    const int best = elegans_best_isa();
    const int64_t isa = call.isa == ELEGANS_BEST ? best : call.isa;
    if (isa > best) return 2;
#if defined(ELEGANS_X86)
    if (isa == ELEGANS_AVX512) return backward ? elegans_avx512::backward(call) : elegans_avx512::forward(call);
    if (isa == ELEGANS_AVX2) return backward ? elegans_avx2::backward(call) : elegans_avx2::forward(call);
#endif
    return backward ? elegans_baseline::backward(call) : elegans_baseline::forward(call);
}

}  // namespace

extern "C" {

int elegans_forward(const elegans_call *call) { return run(*call, false); }
int elegans_backward(const elegans_call *call) { return run(*call, true); }
int elegans_abi(void) { return ELEGANS_GNN_ABI; }
int elegans_best_isa(void) {
    static const int isa = best_isa();
    return isa;
}
}
