#include "comm/mpi/session.h"
#include <exception>
#include <mpi.h>
#include "comm/mpi/operation.h"

namespace comm {

Session::Session(int& argc, char**& argv, Clock::duration timeout) {
  int level = MPI_THREAD_SINGLE;
  check_mpi(MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &level));
  core::check(level == MPI_THREAD_MULTIPLE,
              "the MPI library does not support MPI_THREAD_MULTIPLE, which is required");
  check_mpi(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN));
  check_mpi(MPI_Comm_rank(MPI_COMM_WORLD, &rank_));
  check_mpi(MPI_Comm_size(MPI_COMM_WORLD, &size_));
  MPI_Comm host = MPI_COMM_NULL;
  check_mpi(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &host));
  check_mpi(MPI_Comm_rank(host, &local_rank_));
  check_mpi(MPI_Comm_size(host, &local_size_));
  check_mpi(MPI_Comm_free(&host));
  stream_ = std::make_unique<Stream>(timeout);
}

Session::~Session() {
  stream_.reset();
  MPI_Finalize();
}

void Session::abort(int exit_code) {
  MPI_Abort(MPI_COMM_WORLD, exit_code);
  std::terminate();
}

int Session::run(std::function<int()> const& body,
                 std::function<int(std::exception const&)> const& report) {
  try {
    int const code = body();
    // mpirun may crash or hang if some ranks are in MPI_Finalize while others abort.
    check_mpi(MPI_Barrier(MPI_COMM_WORLD));
    return code;
  } catch (std::exception const& error) {
    int const code = report(error);
    if (size_ == 1) return code;
    abort(code);
  }
}

}  // namespace comm
