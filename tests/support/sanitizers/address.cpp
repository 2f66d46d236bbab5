// What AddressSanitizer and UndefinedBehaviorSanitizer are told, in every program of the preset "asan".
//
// Leaks are not looked for: LibTorch keeps what it made until the process ends (scripts/fuzz.sh looks for ours). Memory
// that is refused is an answer, as without sanitizers: tests ask for more than there is. Tests preload libraries, which
// then come before the sanitizer's.
extern "C" {
const char* __asan_default_options() { return "detect_leaks=0:allocator_may_return_null=1:verify_asan_link_order=0"; }
const char* __ubsan_default_options() { return "print_stacktrace=1"; }
}
