// registry.h - the kernels that the stand-in driver can run, by name.
#pragma once
#include <functional>
#include <stdint.h>
#include <string>
#include <utility>
#include <vector>

namespace emu {

struct Kernel {
  std::string name;
  std::vector<size_t> sizes;                      // bytes of each parameter
  std::function<void(const uint64_t*)> run;       // one parameter a word
};

inline std::vector<Kernel>& registry() {
  static std::vector<Kernel> kernels;
  return kernels;
}

template <class T>
T word_as(uint64_t word) {
  static_assert(sizeof(T) <= 8, "a kernel's parameter has more than 8 bytes");
  T v;
  __builtin_memcpy(&v, &word, sizeof v);
  return v;
}

struct Register {
  template <class... A>
  Register(const char* name, void (*kernel)(A...)) {
    auto run = [kernel]<size_t... i>(const uint64_t* p, std::index_sequence<i...>) { kernel(word_as<A>(p[i])...); };
    registry().push_back({name, {sizeof(A)...}, [run](const uint64_t* p) { run(p, std::index_sequence_for<A...>{}); }});
  }
};

}  // namespace emu
