#include "thinktune/core/last_words.h"

#include <array>
#include <atomic>
#include <mutex>
#include <utility>

namespace thinktune::core {
namespace {

std::mutex changing;
std::string saved, way_on;

// A handler may be reading the text that is replaced: its memory is used again only some texts later.
std::array<std::string, 8> texts;
size_t next = 0;
std::atomic<const std::string*> current{nullptr};

void set(std::string& part, std::string&& what) {
  const std::lock_guard lock(changing);
  part = std::move(what);
  if (way_on.empty()) return;
  std::string& text = texts[next++ % texts.size()];
  text = (saved.empty() ? "" : "  " + saved + "\n") + "  " + way_on + "\n";
  current = &text;
}

}  // namespace

void set_saved(std::string what) { set(saved, std::move(what)); }
void set_way_on(std::string what) { set(way_on, std::move(what)); }

std::string_view last_words() noexcept {
  const std::string* text = current;
  return text == nullptr ? std::string_view() : *text;
}

}  // namespace thinktune::core
