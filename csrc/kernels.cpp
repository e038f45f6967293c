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

int run_stored(const elegans_call &call, bool backward) {
    return with_storage(call.dtype, [&](auto number) { return run<decltype(number)>(call, backward); });
}

}  // namespace

namespace ELEGANS_NAMESPACE {

int forward(const elegans_call &call) { return run_stored(call, false); }
int backward(const elegans_call &call) { return run_stored(call, true); }

}  // namespace ELEGANS_NAMESPACE
