# What stands beside the installed libraries: find_package(muster) reads it.
include(${CMAKE_CURRENT_LIST_DIR}/Dependencies.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/musterTargets.cmake)
