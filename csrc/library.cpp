// The exported functions: choose the instruction set, and ask for huge pages behind large outputs.

#include "kernels.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

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

// A fresh output of this size costs more in page faults than in arithmetic unless its pages are large.
void prefer_huge_pages(int64_t address, int64_t bytes) {
#if defined(__linux__)
    constexpr int64_t kHugePage = int64_t(2) << 20;
    int64_t first = (address + kHugePage - 1) / kHugePage * kHugePage;
    int64_t last = (address + bytes) / kHugePage * kHugePage;
    if (address != 0 && last > first)
        madvise(reinterpret_cast<void *>(static_cast<uintptr_t>(first)), static_cast<size_t>(last - first), MADV_HUGEPAGE);
#else
    (void)address, (void)bytes;
#endif
}

int run(const elegans_call &call, bool backward) {
    const int best = elegans_best_isa();
    const int64_t isa = call.isa == ELEGANS_BEST ? best : call.isa;
    if (isa > best) return 2;
    const int64_t item = call.dtype == ELEGANS_F64 ? 8 : call.dtype == ELEGANS_F32 ? 4 : 2;
    const int64_t elements = call.batch * call.neurons * call.channels * call.inner;
    prefer_huge_pages(backward ? call.grad_x : call.y, elements * item);
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
