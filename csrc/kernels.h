// The entry points for each instruction set that the build compiled.
#ifndef ELEGANS_KERNELS_H
#define ELEGANS_KERNELS_H

#include "elegans_gnn.h"
#include "synaptic.h"

#define ELEGANS_ENTRY_POINTS                         \
    int forward(const elegans_call &call);           \
    int backward(const elegans_call &call);          \
    int synaptic_forward(const synaptic_call &call); \
    int synaptic_backward(const synaptic_call &call);

namespace elegans_baseline {
ELEGANS_ENTRY_POINTS
}
namespace elegans_avx2 {
ELEGANS_ENTRY_POINTS
}
namespace elegans_avx512 {
ELEGANS_ENTRY_POINTS
}

#endif
