// One pair of entry points per instruction set that the build compiled.
#ifndef ELEGANS_KERNELS_H
#define ELEGANS_KERNELS_H

#include "elegans_gnn.h"

namespace elegans_baseline {
int forward(const elegans_call &call);
int backward(const elegans_call &call);
}  // namespace elegans_baseline

namespace elegans_avx2 {
int forward(const elegans_call &call);
int backward(const elegans_call &call);
}  // namespace elegans_avx2

namespace elegans_avx512 {
int forward(const elegans_call &call);
int backward(const elegans_call &call);
}  // namespace elegans_avx512

#endif
