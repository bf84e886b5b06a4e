// Preloaded into tests under AddressSanitizer: modules stay loaded, so that a leak of Open MPI's
// has the name of its module, by which lsan.supp knows it.
extern "C" int dlclose(void* /*module*/) { return 0; }
