#pragma once
#include <ostream>

namespace comm {

enum class Collective { all_reduce, all_gather, reduce_scatter, all_to_all, broadcast, barrier };

constexpr char const* name(Collective what) {
  switch (what) {
    case Collective::all_reduce:
      return "all_reduce";
    case Collective::all_gather:
      return "all_gather";
    case Collective::reduce_scatter:
      return "reduce_scatter";
    case Collective::all_to_all:
      return "all_to_all";
    case Collective::broadcast:
      return "broadcast";
    case Collective::barrier:
      return "barrier";
  }
  return "?";
}

inline std::ostream& operator<<(std::ostream& out, Collective what) { return out << name(what); }

}  // namespace comm
