//! Fuzzes [`relay_fuzz::operations`].
#![cfg_attr(fuzzing, no_main)]

relay_fuzz::target!(relay_fuzz::operations);
