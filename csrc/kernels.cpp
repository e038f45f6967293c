// The kernels for one instruction set. The build compiles this file once per set, with ELEGANS_NAMESPACE as its name.
// Everything but the two functions below is in anonymous namespaces: no code may be shared between instruction sets.

#include "kernels.h"

#include "rows.h"

namespace {

// A strip of all neurons (256 bytes each) should stay in a core's cache; beyond that, rows are gathered from memory.
constexpr int64_t kStripNeurons = 8192;

template <class S> int run(const elegans_call &call, bool backward) {
    const bool strips = call.schedule == ELEGANS_AUTO ? call.neurons <= kStripNeurons : call.schedule == ELEGANS_STRIPS;
    // The gradient of mul needs whole neighbourhoods of targets: strips, whatever the size.
    if (strips || (backward && call.reduce == ELEGANS_MUL)) {
        StripSchedule<S> schedule(call);
        return backward ? schedule.backward() : schedule.forward();
    }
    RowSchedule<S> schedule(call);
    return backward ? schedule.backward() : schedule.forward();
}

int run_dtype(const elegans_call &call, bool backward) {
    switch (call.dtype) {
        case ELEGANS_F64: return run<double>(call, backward);
        case ELEGANS_BF16: return run<bf16>(call, backward);
        case ELEGANS_F16: return run<f16>(call, backward);
        default: return run<float>(call, backward);
    }
}

}  // namespace

namespace ELEGANS_NAMESPACE {

int forward(const elegans_call &call) { return run_dtype(call, false); }
int backward(const elegans_call &call) { return run_dtype(call, true); }

}  // namespace ELEGANS_NAMESPACE
