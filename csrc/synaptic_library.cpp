// The exported functions of the synaptic convolution: they choose the instruction set.

#include "elegans_gnn.h"
#include "synaptic_kernels.h"

namespace {

int run(const synaptic_call &call, bool backward) {
    const int best = elegans_best_isa();
    const int64_t isa = call.isa == ELEGANS_BEST ? best : call.isa;
    if (isa > best) return 2;
#if defined(ELEGANS_X86)
    if (isa == ELEGANS_AVX512)
        return backward ? elegans_avx512::synaptic_backward(call) : elegans_avx512::synaptic_forward(call);
    if (isa == ELEGANS_AVX2)
        return backward ? elegans_avx2::synaptic_backward(call) : elegans_avx2::synaptic_forward(call);
#endif
    return backward ? elegans_baseline::synaptic_backward(call) : elegans_baseline::synaptic_forward(call);
}

}  // namespace

extern "C" {

int elegans_synaptic_forward(const synaptic_call *call) { return run(*call, false); }
int elegans_synaptic_backward(const synaptic_call *call) { return run(*call, true); }
}
