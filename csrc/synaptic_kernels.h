// One pair of entry points per instruction set that the build compiled.
#ifndef ELEGANS_SYNAPTIC_KERNELS_H
#define ELEGANS_SYNAPTIC_KERNELS_H

#include "synaptic.h"

namespace elegans_baseline {
int synaptic_forward(const synaptic_call &call);
int synaptic_backward(const synaptic_call &call);
}  // namespace elegans_baseline

namespace elegans_avx2 {
int synaptic_forward(const synaptic_call &call);
int synaptic_backward(const synaptic_call &call);
}  // namespace elegans_avx2

namespace elegans_avx512 {
int synaptic_forward(const synaptic_call &call);
int synaptic_backward(const synaptic_call &call);
}  // namespace elegans_avx512

#endif
