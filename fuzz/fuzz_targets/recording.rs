//! Fuzzes [`relay_fuzz::recording`].
#![cfg_attr(fuzzing, no_main)]

relay_fuzz::target!(relay_fuzz::recording);
