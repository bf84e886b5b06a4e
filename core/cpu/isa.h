#pragma once

namespace core::cpu {

/// Returns true if bf16 products can run on AMX matrix units: the processor has AMX-BF16, and the
/// operating system kernel saves its registers and permits their use by this process.
bool amx_bf16();

}  // namespace core::cpu
