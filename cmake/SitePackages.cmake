# Where scripts/setup.sh puts the PyPI wheels: THINKTUNE_SITE_PACKAGES.
if(DEFINED ENV{THINKTUNE_CACHE})
  set(_cache "$ENV{THINKTUNE_CACHE}")
else()
  set(_cache "$ENV{HOME}/.cache/thinktune")
endif()
set(THINKTUNE_SITE_PACKAGES "${_cache}/site-packages" CACHE PATH "Folder with torch/ and nvidia/ from the PyPI wheels")
