// The declarations of Gloo are Debian's, the code is in libtorch_cpu: only what c10d's header names of it is used.
#define USE_C10D_GLOO
#include <cstdlib>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include "backends.h"

namespace thinktune::comm {

c10::intrusive_ptr<c10d::Backend> make_gloo(const c10::intrusive_ptr<c10d::Store>& store, const BackendSetup& setup) {
  using c10d::ProcessGroupGloo;
  auto options = ProcessGroupGloo::Options::create(setup.timeout);
  // A machine's own name is often the loopback's, which other machines cannot reach: the interface is asked for.
  const char* interface = std::getenv("GLOO_SOCKET_IFNAME");
  options->devices.push_back(interface != nullptr ? ProcessGroupGloo::createDeviceForInterface(interface)
                                                  : ProcessGroupGloo::createDeviceForHostname(setup.local_address));
  return c10::make_intrusive<ProcessGroupGloo>(store, setup.rank, setup.size, options);
}

}  // namespace thinktune::comm
