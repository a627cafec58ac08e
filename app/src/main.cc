// SPDX-License-Identifier: MIT
// The program `muster`: verbs are in cli/.
#include "cli/options.h"

int main(int count, char** words) { return muster::app::cli::run(count, words); }
