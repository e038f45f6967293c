/* The C interface of the tensor network's visits: one call block, four entry points.
 *
 * The block is an array of 64-bit values in the order below (Python packs it with struct); strides count elements. Sources are
 * the input, the previous program's carry and this stage's units, each [rows, n, feature] with unit stride on the last axis, or
 * 0 where nothing is loaded from them. Exports are unit inputs, carry and finished states (backward: their gradients), in the
 * same form.
 * The sources' gradients need not be initialised, or are 0 where not wanted.
 */
#ifndef ELEGANS_TENSOR_NETWORK_H
#define ELEGANS_TENSOR_NETWORK_H

#include <stdint.h>

#define TENSOR_NETWORK_SOURCES 3

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int64_t rows, feature, slots, steps;
    int64_t loads;       /* int32 [slots, 2]: source, row */
    int64_t code;        /* int32 [steps, 5]: code, target slot or exported row, source slot, edge, wavefront */
    int64_t edge_weight; /* [edges], or 0 */
    int64_t fuse, norm;
    double eps;
    int64_t source[TENSOR_NETWORK_SOURCES], source_row[TENSOR_NETWORK_SOURCES], source_neuron[TENSOR_NETWORK_SOURCES];
    int64_t outside[3], outside_row[3], outside_neuron[3];
    int64_t grad[TENSOR_NETWORK_SOURCES], grad_row[TENSOR_NETWORK_SOURCES], grad_neuron[TENSOR_NETWORK_SOURCES];
    int64_t neurons[TENSOR_NETWORK_SOURCES]; /* rows of each source's gradient */
    int64_t grad_weight; /* double [edges], zero on entry, or 0 */
} tensor_network_call;

/* All return 0, or 1 if there is no memory for scratch buffers. */
int elegans_visits_forward_f32(const tensor_network_call *call);
int elegans_visits_forward_f64(const tensor_network_call *call);
int elegans_visits_backward_f32(const tensor_network_call *call);
int elegans_visits_backward_f64(const tensor_network_call *call);

#ifdef __cplusplus
}
#endif

#endif
