#pragma once
#include <exception>
#include <functional>
#include <string>
#include "comm/mpi/session.h"
#include "train/errors.h"

/// How the program reports an error and which code it exits with.
namespace train {

/// This process's rank, from the launcher's environment: known before MPI has started.
int launched_rank();

/// True if a launcher (mpirun, srun) started this process.
bool launched();

inline int code(Exit exit) { return static_cast<int>(exit); }

/// The exit code for an error.
int exit_code(std::exception const& error);

/// Prints an error of this rank. Most errors occur on every rank: rank 0 prints and exits, which
/// ends the others. A rank still alive after 5 s has an error of its own and prints it.
void print_error(std::string const& message, int rank);

/// Runs `command` on every rank of an MPI session and returns the exit code. An error is printed
/// and ends all ranks. `timeout`: run.timeout, in seconds.
int run_on_ranks(int& argc, char**& argv, double timeout,
                 std::function<void(comm::Session&)> const& command);

}  // namespace train
