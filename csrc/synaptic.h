/* The C interface of the synaptic convolution and of the step around it: one call block, two entry points.
 *
 *   y[b, v, c, p] = sum over e = (u -> v) and taps t of weight[e, c, t] * h[b, u, c, p + offset_t]
 *   x: [B, N, C, H, W], weight: [E, 1, kh, kw] or [E, C, kh, kw], odd kernels, zero padding
 *
 * The convolution has h = x. With an activation it is a step: h = act(scale * norm(x) + shift), where norm takes each map
 * to mean 0 and variance 1, (x - mean) / sqrt(variance + eps); and leak[v] * x is added to y.
 *
 * The block is an array of 64-bit integers in the order below (Python packs it with struct); strides count elements.
 * The caller has validated everything. The rows of a map and the weights are contiguous. Dtypes and instruction sets have
 * the codes of elegans_gnn.h.
 */
#ifndef ELEGANS_SYNAPTIC_H
#define ELEGANS_SYNAPTIC_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum synaptic_activation { ELEGANS_NONE = 0, ELEGANS_RELU = 1, ELEGANS_GELU = 2, ELEGANS_SILU = 3 };

typedef struct {
    int64_t dtype, weight_dtype, isa, threads;
    int64_t batch, neurons, channels, height, width;
    int64_t edges, weight_channels, kernel_height, kernel_width; /* weight_channels: 1 or channels */
    int64_t x, x_batch, x_neuron, x_channel;
    int64_t grad, grad_batch, grad_neuron, grad_channel; /* grad_y; backward only */
    int64_t weight;
    int64_t y, grad_x, grad_weight; /* contiguous outputs; grad_x or grad_weight may be 0: not needed */
    int64_t rowptr, col, perm, colptr, row, csc_perm; /* int32 */
    /* The step; these arrays are contiguous, in the type of the sums. No leak: 1. */
    int64_t activation;
    double eps;
    int64_t scale, shift, leak;                /* [N, C], [N, C], [N] */
    int64_t grad_scale, grad_shift, grad_leak; /* may be 0: not needed; scale and shift together */
} synaptic_call;

/* Both give 0, or 1 when memory for the working buffers is lacking, or 2 when the named instruction set is not there. */
int elegans_synaptic_forward(const synaptic_call *call);
int elegans_synaptic_backward(const synaptic_call *call);

#ifdef __cplusplus
}
#endif

#endif
