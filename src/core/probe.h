// SPDX-License-Identifier: Apache-2.0
//
// Two marks for the simulation; in every other build they are nothing.
//
// TRUNKLINE_SOMETIMES(name) names a situation that the simulation must have reached, counted over
// all seeds. TRUNKLINE_MUTANT(name) is true when the simulation plants that fault, to prove that
// its checker would find it. Both tables: ./dev sim --report.
#pragma once

#ifdef TRUNKLINE_SIM

namespace trunkline::probe {
void reached(const char* name);
bool planted(const char* name);
}  // namespace trunkline::probe

#define TRUNKLINE_SOMETIMES(name) ::trunkline::probe::reached(name)
#define TRUNKLINE_MUTANT(name) ::trunkline::probe::planted(name)

#else

#define TRUNKLINE_SOMETIMES(name) static_cast<void>(0)
#define TRUNKLINE_MUTANT(name) false

#endif
