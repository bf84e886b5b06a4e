#pragma once

namespace train {

/// True if standard output ends on a terminal that a person reads. mpirun gives each rank a
/// pseudo-terminal of its own, whatever its own output is. So for a process that a launcher has
/// started (`launched`), the answer is about the output of the launcher, found among the process's
/// ancestors; false if it is not on this host.
bool on_terminal(bool launched);

}  // namespace train
