#pragma once

namespace train {

/// True when standard output is a terminal that a person watches. Under mpirun it is always a
/// pseudo-terminal of Open MPI's, so there the question is asked of mpirun's own output.
bool on_terminal();

}  // namespace train
