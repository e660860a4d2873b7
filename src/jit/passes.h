// jit: what is done to a function between its making and its machine code. Internal to the room. Each leaves a function that
// check() is content with.
#pragma once
#include "jit/build.h"

namespace skep::jit {

/// What all of them do, in their order.
void optimise(Built& built, const Program& program);

/// Lookups in arrays, map operations that have a gate, the CPU's number.
void inline_helpers(Function& f, const Program& program);

/// Who the current task is, the probe's cookie: loads, and calls where the run has not been told yet. Splits blocks: what is known of
/// loops is wrong afterwards.
void inline_current(Function& f);

/// Stack slots that are only stored to and loaded from become values. REQUIRES: built.loops is of the blocks as they are.
void promote_stack(Built& built, const Program& program);

/// REQUIRES, like all that follow but clean_blocks(): uses are counted. remove_dead() does it.
///
/// Makes values simpler and finds equal ones; branches that always go one way become jumps.
void simplify(Function& f);

/// Branches around next to nothing become Selects. True where it found one.
bool if_convert(Function& f);

/// Small loops are made several turns long. True where it found one.
bool unroll_loops(Function& f);

/// Sums become parts of the accesses they are for. True where it changed who is used.
bool fold_addresses(Function& f);

/// Loads become operands, loads and stores around an operation updates. Last: nothing may be moved behind it. True
/// where a value may be without use now.
bool fuse(Function& f);

/// Drops blocks that are not reached any more, and edges that are gone from `succs`; joins blocks that only follow one another.
void clean_blocks(Function& f);

/// Takes out values that nobody uses, constants among them, and counts the uses of the others.
void remove_dead(Function& f);

/// Gives the values new numbers, in the order of the old ones, when there are many that stand in no block: what is kept by number
/// gets smaller. REQUIRES: no value in a block names one that stands in none.
void compact(Function& f);

}  // namespace skep::jit
