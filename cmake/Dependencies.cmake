# Everything muster stands on, all from Debian 12 (README.md, "Dependencies", says why each is here).
find_package(Boost 1.81 CONFIG COMPONENTS headers json url)
if(NOT Boost_FOUND)
  message(FATAL_ERROR "muster needs Boost 1.81 or newer: on Debian 12 install libboost1.81-dev "
                      "libboost-json1.81-dev libboost-url1.81-dev (they replace libboost-dev, which is 1.74)")
endif()
find_package(Threads REQUIRED)
find_package(OpenSSL 3 REQUIRED)
find_package(Protobuf REQUIRED)
find_package(spdlog REQUIRED)
find_package(fmt REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(CLI11 REQUIRED)
find_package(prometheus-cpp REQUIRED)
if(NOT TARGET yaml-cpp::yaml-cpp)  # 0.7 exports the bare name only
  add_library(yaml-cpp::yaml-cpp ALIAS yaml-cpp)
endif()

find_package(PkgConfig REQUIRED)
pkg_check_modules(CARES REQUIRED IMPORTED_TARGET libcares>=1.18)
pkg_check_modules(LMDB REQUIRED IMPORTED_TARGET lmdb)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
