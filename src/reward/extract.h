// Where the final answer of a response stands.
#pragma once

#include <string>
#include <string_view>

namespace thinktune::reward {

enum class BoxSearch { Found, NoBox, NeverClosed };

// As find_last_box, telling the two failures apart.
BoxSearch search_last_box(std::string_view text, std::string& content);

}  // namespace thinktune::reward
