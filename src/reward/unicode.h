// Mathematics written with characters beyond ASCII, in LaTeX's spelling.
#pragma once

#include <string>
#include <string_view>

namespace thinktune::reward {

// "½√3 ≤ x²" becomes "\frac{1}{2}\sqrt 3 \le x^{2}". Characters that are no mathematics stay as they are. One pass; the
// result is at most eight times as long.
std::string to_ascii_math(std::string_view text);

bool is_ascii(std::string_view text);

}  // namespace thinktune::reward
