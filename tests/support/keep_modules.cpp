// Preloaded into tests under AddressSanitizer. It keeps modules loaded, so that a leak report names
// the Open MPI module that lsan.supp suppresses.
extern "C" int dlclose(void* /*module*/) { return 0; }
