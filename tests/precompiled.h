// SPDX-License-Identifier: Apache-2.0
//
// What most tests include. The Makefile has it compiled once for all of them, which saves each one two
// seconds; no file relies on it. Only what a compiler reads much faster than it compiles: of JSON and
// protobuf all would have to instantiate the templates that few use.
#pragma once

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/catch.h"
