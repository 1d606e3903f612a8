// fake_ptx.h - what the stand-in driver reads of a module's PTX: that it is meant for
// this device, that its kernels take what the emulated ones do, and their shared memory.
#pragma once
#include "registry.h"
#include <stdlib.h>
#include <string>

namespace fake {

// ptx_target is the number of ".target sm_NN", 0 where there is none.
inline int ptx_target(const std::string& ptx) {
  size_t at = ptx.find("\n.target sm_");
  return at == std::string::npos ? 0 : atoi(ptx.c_str() + at + 12);
}

// ptx_kernel returns the emulated kernel of a module's entry, nullptr where the module
// or the emulator lacks it or their parameters differ.
inline const emu::Kernel* ptx_kernel(const std::string& ptx, const std::string& name) {
  size_t at = ptx.find(".entry " + name + "(");
  if (at == std::string::npos) return nullptr;
  std::string list = ptx.substr(at, ptx.find(")", at) - at);
  std::vector<size_t> sizes;
  for (size_t p = list.find(".param ."); p != std::string::npos; p = list.find(".param .", p + 1))
    sizes.push_back(strtoul(list.c_str() + p + 9, nullptr, 10) / 8);  // ".param .u64"
  for (auto& k : emu::registry())
    if (k.name == name) {
      if (k.sizes == sizes) return &k;
      fprintf(stderr, "fake driver: %s: the PTX has %zu parameters, the kernel %zu, or of other sizes\n", name.c_str(), sizes.size(), k.sizes.size());
    }
  return nullptr;
}

// ptx_shared is the static shared memory of a module's entry: what is declared
// (".shared .align 128 .b8 name[4096];") and named between its braces.
inline unsigned ptx_shared(const std::string& ptx, const std::string& name) {
  size_t at = ptx.find(".entry " + name + "("), bytes = 0;
  std::string body = ptx.substr(at, ptx.find("\n}", at) - at);
  const std::string declared = ".shared .align ";
  for (size_t p = ptx.find(declared); p != std::string::npos; p = ptx.find(declared, p + 1)) {
    if (p >= 8 && ptx.compare(p - 8, 8, ".extern ") == 0) continue;  // dynamic
    char type, array[256];
    size_t align, bits, count = 1;
    if (sscanf(ptx.c_str() + p + declared.size(), "%zu .%c%zu %255[^[;][%zu]", &align, &type, &bits, array, &count) < 4) abort();
    if (body.find(array) != std::string::npos) bytes = (bytes + align - 1) / align * align + bits / 8 * count;
  }
  return (unsigned)bytes;
}

}  // namespace fake
