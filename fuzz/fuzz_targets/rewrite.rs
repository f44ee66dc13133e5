//! Fuzzes [`relay_fuzz::rewrite`].
#![cfg_attr(fuzzing, no_main)]

relay_fuzz::target!(relay_fuzz::rewrite);
