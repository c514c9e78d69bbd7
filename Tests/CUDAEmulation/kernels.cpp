// The kernels as host C++, and by their names.

#include "emulation.hpp"
#include "launch.hpp"

#include <tuple>
#include <utility>

#include "../../Sources/DMSCUDA/Kernels/admission.cu"
#include "../../Sources/DMSCUDA/Kernels/attention.cu"
#include "../../Sources/DMSCUDA/Kernels/heads.cu"
#include "../../Sources/DMSCUDA/Kernels/linear.cu"
#include "../../Sources/DMSCUDA/Kernels/rows.cu"
#include "faulty.cu"

namespace emulation {

template <class... Parameter, size_t... index>
static void call(void (*kernel)(Parameter...), void *const *arguments, std::index_sequence<index...>) {
  kernel(*static_cast<Parameter *>(arguments[index])...);
}

template <class... Parameter> static void call(void (*kernel)(Parameter...), void *const *arguments) {
  call(kernel, arguments, std::index_sequence_for<Parameter...>());
}

#define ENTRY(name) {#name, [](void *const *arguments) { call(name, arguments); }}
#define ATTENTION_ENTRIES(suffix) ENTRY(attend_piece_##suffix), ENTRY(attend_call_##suffix)

const Kernel kernels[] = {
    ENTRY(admit_tokens),    ENTRY(store_slots_f32), ENTRY(store_slots_bf16), ENTRY(store_slots_f16),
    ENTRY(release_sequence), ENTRY(combine_pieces), ENTRY(prepare_heads),    ENTRY(embed_f32),
    ENTRY(embed_bf16),      ENTRY(embed_f16),       ENTRY(embed_q8),         ENTRY(embed_q4),
    ENTRY(add_normalize),   ENTRY(gated_unit),      ENTRY(find_largest),     ENTRY(linear_f32_1),
    ENTRY(linear_f32_4),    ENTRY(linear_bf16_1),   ENTRY(linear_bf16_4),    ENTRY(linear_f16_1),
    ENTRY(linear_f16_4),    ENTRY(linear_q8_1),     ENTRY(linear_q8_4),      ENTRY(linear_q4_1),
    ENTRY(linear_q4_4),     ATTENTION_ENTRIES(f32_2), ATTENTION_ENTRIES(f32_4), ATTENTION_ENTRIES(f32_8),
    ATTENTION_ENTRIES(bf16_2), ATTENTION_ENTRIES(bf16_4), ATTENTION_ENTRIES(bf16_8), ATTENTION_ENTRIES(f16_2),
    ATTENTION_ENTRIES(f16_4), ATTENTION_ENTRIES(f16_8), ENTRY(faulty_barrier), ENTRY(faulty_exchange),
    ENTRY(faulty_race), ENTRY(faulty_load), ENTRY(faulty_end),
};
const int kernelCount = sizeof kernels / sizeof kernels[0];

}  // namespace emulation
