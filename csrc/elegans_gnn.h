/* The C interface of the native aggregation: one call block, two entry points, no C++ and no torch types.
 *
 *   y[b, v, c, k] = reduce over e = (u -> v) of w[e, c] * x[b, u, c, k]        x: [B, N, C, K], w: [E, 1] or [E, C]
 *
 * The block is an array of 64-bit integers in the order below (Python packs it with struct); strides count elements.
 * The caller has validated everything: shapes, dtypes, index ranges, and that the innermost axis has stride 1.
 */
#ifndef ELEGANS_GNN_H
#define ELEGANS_GNN_H

#include <stdint.h>

#define ELEGANS_GNN_ABI 2

#ifdef __cplusplus
extern "C" {
#endif

enum elegans_reduce { ELEGANS_SUM = 0, ELEGANS_MEAN = 1, ELEGANS_MUL = 2, ELEGANS_MAX = 3 };
enum elegans_dtype { ELEGANS_F32 = 0, ELEGANS_F64 = 1, ELEGANS_BF16 = 2, ELEGANS_F16 = 3 };
enum elegans_schedule { ELEGANS_AUTO = 0, ELEGANS_STRIPS = 1, ELEGANS_ROWS = 2 };
enum elegans_isa { ELEGANS_BEST = 0, ELEGANS_BASELINE = 1, ELEGANS_AVX2 = 2, ELEGANS_AVX512 = 3 };

typedef struct {
    int64_t reduce, dtype, weight_dtype, schedule, isa, threads;
    int64_t batch, neurons, channels, inner, edges, weight_channels; /* weight_channels: 1 or channels */
    int64_t x, x_batch, x_neuron, x_channel;                         /* address and strides */
    int64_t grad, grad_batch, grad_neuron, grad_channel;             /* grad_y; backward only */
    int64_t weight, weight_edge, weight_channel;
    int64_t winner;                  /* int32 like y, contiguous: written by a forward max, read by its backward */
    int64_t y, grad_x, grad_weight;  /* contiguous outputs; grad_x or grad_weight may be 0: not needed */
    int64_t rowptr, col, perm, colptr, row, csc_perm; /* int32 */
} elegans_call;

/* Both return 0, or 1 if there is no memory for the working buffers, or 2 if the processor lacks the named instruction set. */
int elegans_forward(const elegans_call *call);
int elegans_backward(const elegans_call *call);

/* The version of the layouts of all call blocks, and the best instruction set of this processor. */
int elegans_abi(void);
int elegans_best_isa(void);

#ifdef __cplusplus
}
#endif

#endif
