# Finds CUDA: sets COLONNADE_HAS_CUDA, and the libraries of programs that use it. Toolkit, cuDNN and
# NCCL come from the system or from NVIDIA's Python packages, whose libraries have only versioned
# names. Nothing links libcuda: the program starts without a driver.
set(COLONNADE_CUDA AUTO CACHE STRING "Build for NVIDIA GPUs: AUTO (if CUDA is found), ON or OFF")
set_property(CACHE COLONNADE_CUDA PROPERTY STRINGS AUTO ON OFF)
set(COLONNADE_HAS_CUDA OFF)

# Sources and headers that only one kind of build compiles, with or without CUDA.
set(with_cuda
  "/core/cuda/(.*\\.cpp|(check|handle|ignored|memory|device|staging|input_stage|cudnn_[a-z]+)\\.h)$|/comm/open\\.cpp$|/comm/nccl/(communicator|group|stream)\\.(cpp|h)$")
set(without_cuda "/without_(cuda|nccl)\\.cpp$")

if(COLONNADE_CUDA STREQUAL "OFF")
  return()
endif()

# Folders of NVIDIA's Python packages: site-packages/nvidia/{cu13,cudnn,nccl,...}.
set(colonnade_nvidia_folders)
find_program(COLONNADE_PYTHON NAMES python3)
if(COLONNADE_PYTHON)
  execute_process(COMMAND ${COLONNADE_PYTHON} -c
    "import glob, site; print(';'.join(f for s in [*site.getsitepackages(), site.getusersitepackages()] for f in sorted(glob.glob(s + '/nvidia/*/'))))"
    OUTPUT_VARIABLE colonnade_nvidia_folders OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()

find_program(COLONNADE_NVCC nvcc
  HINTS ENV CUDA_HOME ENV CUDA_PATH /usr/local/cuda ${colonnade_nvidia_folders} PATH_SUFFIXES bin)
set(missing)
if(COLONNADE_NVCC)
  get_filename_component(toolkit ${COLONNADE_NVCC} REALPATH)
  get_filename_component(toolkit ${toolkit} DIRECTORY)
  get_filename_component(toolkit ${toolkit} DIRECTORY)
else()
  list(APPEND missing "nvcc")
endif()

# Defines COLONNADE_<NAME>_INCLUDE and COLONNADE_<NAME>_LIBRARY.
foreach(entry cudart:cuda_runtime_api.h:13 cublasLt:cublasLt.h:13 cudnn:cudnn.h:9 nccl:nccl.h:2)
  string(REPLACE ":" ";" entry ${entry})
  list(GET entry 0 name)
  list(GET entry 1 header)
  list(GET entry 2 version)
  string(TOUPPER ${name} upper)
  find_path(COLONNADE_${upper}_INCLUDE ${header} HINTS ${toolkit} ${colonnade_nvidia_folders}
    PATH_SUFFIXES include targets/x86_64-linux/include)
  find_library(COLONNADE_${upper}_LIBRARY NAMES ${name} lib${name}.so.${version}
    HINTS ${toolkit} ${colonnade_nvidia_folders}
    PATH_SUFFIXES lib64 lib targets/x86_64-linux/lib)
  if(NOT COLONNADE_${upper}_INCLUDE OR NOT COLONNADE_${upper}_LIBRARY)
    list(APPEND missing ${name})
  endif()
endforeach()

if(missing)
  list(JOIN missing ", " missing)
  if(COLONNADE_CUDA STREQUAL "ON")
    message(FATAL_ERROR "COLONNADE_CUDA=ON, but not found: ${missing}; install them or use COLONNADE_CUDA=AUTO")
  endif()
  message(STATUS "Built without CUDA; not found: ${missing}")
  return()
endif()

if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES AND NOT DEFINED ENV{CUDAARCHS})
  set(CMAKE_CUDA_ARCHITECTURES 80 90 100)
endif()
set(CMAKE_CUDA_COMPILER ${COLONNADE_NVCC})
set(CMAKE_CUDA_RUNTIME_LIBRARY Shared)
if(CCACHE AND NOT CMAKE_CUDA_COMPILER_LAUNCHER)
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${CCACHE})
endif()
enable_language(CUDA)
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_EXTENSIONS OFF)
# CMake 3.25 lacks nvcc's option for C++20.
foreach(kind STANDARD EXTENSION)
  if(NOT DEFINED CMAKE_CUDA20_${kind}_COMPILE_OPTION)
    set(CMAKE_CUDA20_${kind}_COMPILE_OPTION -std=c++20)
  endif()
endforeach()
set(COLONNADE_HAS_CUDA ON)
message(STATUS "CUDA ${CMAKE_CUDA_COMPILER_VERSION}, architectures ${CMAKE_CUDA_ARCHITECTURES}")
