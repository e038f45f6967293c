// Runs every function of the library on odd shapes against plain loops, without Python and under sanitizers.
//   elegans_selftest           all cases
//   elegans_selftest brief     a part of them
//   elegans_selftest overrun   reads beyond an array, on purpose: AddressSanitizer must stop it
//   elegans_selftest race      writes one number from two threads, on purpose: ThreadSanitizer must report it
#include "selftest.h"

#include <cstdarg>
#include <cstdio>

#include "elegans_gnn.h"

void fail(const char *format, ...) {
    if (failures++ >= 10) return;
    va_list arguments;
    va_start(arguments, format);
    std::vprintf(format, arguments);
    va_end(arguments);
    std::printf("\n");
}

int main(int count, char **arguments) {
    const char *mode = count > 1 ? arguments[1] : "";
    if (!std::strcmp(mode, "overrun")) {
        const Memory memory(7);
        return memory.take<char>(7) == 0x12;
    }
    if (!std::strcmp(mode, "race")) {
        int64_t total = 0;
#pragma omp parallel num_threads(2)
        total++;
        return total == 0;
    }
    if (elegans_abi() != ELEGANS_GNN_ABI) fail("elegans_abi() is %d, the header says %d", elegans_abi(), ELEGANS_GNN_ABI);
    const bool brief = !std::strcmp(mode, "brief");
    test_aggregation(brief);
    test_synaptic(brief);
    test_step(brief);
    test_visits(brief);
    std::printf("%lld cases, %lld failures\n", static_cast<long long>(cases), static_cast<long long>(failures));
    return failures != 0;
}
