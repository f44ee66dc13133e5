//! Fuzzes [`relay_fuzz::indication`].
#![cfg_attr(fuzzing, no_main)]

relay_fuzz::target!(relay_fuzz::indication);
