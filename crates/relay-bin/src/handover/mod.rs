//! What one process hands to the next process on the same machine, so that no call is lost. The two may be different builds.

mod figures;
