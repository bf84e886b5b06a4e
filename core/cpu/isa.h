#pragma once

namespace core::cpu {

/// True where bf16 products can run on the matrix units: the processor has AMX-BF16, and the
/// kernel saves its registers and grants them to this process.
bool amx_bf16();

}  // namespace core::cpu
